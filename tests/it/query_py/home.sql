-- A home of the framework in the middle of December 2025, as its tables were then. A time in 2999 is recent on any day.
CREATE TABLE learnings (id INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT NOT NULL, filepath TEXT NOT NULL, title TEXT NOT NULL,
    summary TEXT, tags TEXT, domain TEXT, severity INTEGER DEFAULT 3, created_at DATETIME DEFAULT CURRENT_TIMESTAMP,
    updated_at DATETIME DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE heuristics (id INTEGER PRIMARY KEY AUTOINCREMENT, domain TEXT NOT NULL, rule TEXT NOT NULL, explanation TEXT,
    source_type TEXT, source_id INTEGER, confidence REAL DEFAULT 0.5, times_validated INTEGER DEFAULT 0,
    times_violated INTEGER DEFAULT 0, is_golden INTEGER DEFAULT 0, created_at DATETIME DEFAULT CURRENT_TIMESTAMP,
    updated_at DATETIME DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE experiments (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, hypothesis TEXT,
    status TEXT DEFAULT 'active', cycles_run INTEGER DEFAULT 0, folder_path TEXT, created_at DATETIME DEFAULT CURRENT_TIMESTAMP,
    updated_at DATETIME DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE ceo_reviews (id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT NOT NULL, context TEXT, recommendation TEXT,
    status TEXT DEFAULT 'pending', created_at DATETIME DEFAULT CURRENT_TIMESTAMP, reviewed_at DATETIME);
CREATE TABLE decisions (id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT NOT NULL, context TEXT NOT NULL, options_considered TEXT,
    decision TEXT NOT NULL, rationale TEXT NOT NULL, files_touched TEXT, tests_added TEXT, status TEXT DEFAULT 'accepted',
    domain TEXT, superseded_by INTEGER, created_at DATETIME, updated_at DATETIME);
CREATE TABLE invariants (id INTEGER PRIMARY KEY AUTOINCREMENT, statement TEXT NOT NULL, rationale TEXT NOT NULL, domain TEXT,
    scope TEXT DEFAULT 'codebase', validation_type TEXT, validation_code TEXT, severity TEXT DEFAULT 'error',
    status TEXT DEFAULT 'active', violation_count INTEGER DEFAULT 0, last_validated_at DATETIME, last_violated_at DATETIME,
    created_at DATETIME, updated_at DATETIME);
CREATE TABLE violations (id INTEGER PRIMARY KEY AUTOINCREMENT, rule_id INTEGER NOT NULL, rule_name TEXT NOT NULL,
    violation_date DATETIME DEFAULT CURRENT_TIMESTAMP, description TEXT, session_id TEXT, acknowledged INTEGER DEFAULT 0);
CREATE TABLE spike_reports (id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT NOT NULL, topic TEXT, question TEXT, findings TEXT,
    gotchas TEXT, resources TEXT, time_invested_minutes INTEGER, domain TEXT, tags TEXT, usefulness_score REAL DEFAULT 0,
    access_count INTEGER DEFAULT 0, created_at DATETIME, updated_at DATETIME);
CREATE TABLE assumptions (id INTEGER PRIMARY KEY AUTOINCREMENT, assumption TEXT NOT NULL, context TEXT, source TEXT,
    confidence REAL DEFAULT 0.5, status TEXT DEFAULT 'active', domain TEXT, verified_count INTEGER DEFAULT 0,
    challenged_count INTEGER DEFAULT 0, last_verified_at DATETIME, created_at DATETIME, updated_at DATETIME);

INSERT INTO learnings (type, filepath, title, summary, tags, domain, severity, created_at, updated_at) VALUES
    ('failure', 'memory/failures/20251101_linker.md', 'Build broke on main', 'The linker ran out of memory, at last',
        'build,linker', 'ci', 4, '2025-11-01 10:00:00', '2025-11-01 10:00:00'),
    ('failure', 'memory/failures/29990101_quotes.md', 'It''s a "quoted" title', 'One, two', 'quotes', 'ci', 3,
        '2999-01-01 10:00:00', '2999-01-01 10:00:00'),
    ('success', 'memory/successes/29990102_retry.md', 'Retry with backoff', NULL, NULL, 'network', 1,
        '2999-01-02 10:00:00', '2999-01-02 10:00:00'),
    ('observation', 'memory/observations/20251103_dns.md', 'Slow DNS', 'It takes 5 s', 'dns', 'network', 2,
        '2025-11-03 10:00:00.123456', '2025-11-03 10:00:00'),
    ('failure', 'memory/failures/29990103_odd.md', 'Odd ünïcode 漢字 🏢', 'x', ' ,a', NULL, 3,
        '2999-01-03 10:00:00', '2025-11-03T10:00:00');
INSERT INTO heuristics (domain, rule, explanation, source_type, source_id, confidence, times_validated, times_violated, is_golden,
    created_at, updated_at) VALUES
    ('ci', 'Run clippy before you push', 'It finds what tests do not', 'observation', NULL, 0.85, 4, 0, 0,
        '2025-11-20 09:00:00', '2025-11-20 09:00:00'),
    ('ci', 'Pin the toolchain', NULL, 'failure', 1, 0.9, 12, 1, 1, '2025-10-20 09:00:00', '2025-10-20 09:00:00'),
    ('network', 'Always set a timeout', 'A call without one hangs for ever; and this explanation goes on for so long that a list of all domains cuts it',
        'auto', NULL, 1, 0, 0, NULL, '2025-10-01 09:00:00', '2025-10-01 09:00:00');
INSERT INTO experiments (name, hypothesis, status, cycles_run, folder_path, created_at, updated_at) VALUES
    ('cache-crates', 'Caching halves the time', 'active', 2, 'experiments/active/x', '2025-10-01 09:00:00', '2025-10-02 09:00:00'),
    ('no-hypothesis', NULL, 'active', 0, NULL, '2025-10-03 09:00:00', '2025-10-01 09:00:00'),
    ('done', NULL, 'completed', 0, NULL, '2025-10-03 09:00:00', '2025-10-01 09:00:00');
INSERT INTO ceo_reviews (title, context, recommendation, status, created_at, reviewed_at) VALUES
    ('Buy a runner', 'The queue is long', 'Yes', 'pending', '2025-10-01 09:00:00', NULL),
    ('Second', NULL, NULL, 'pending', '2025-10-02 09:00:00', NULL),
    ('Old', 'x', 'y', 'approved', '2025-10-01 09:00:00', '2025-10-04 09:00:00');
INSERT INTO violations (rule_id, rule_name, violation_date, description, session_id, acknowledged) VALUES
    (1, 'Query Before Acting', '2999-01-03 08:00:00', 'Did not ask', 's1', 0),
    (1, 'Query Before Acting', '2999-01-02 08:00:00', NULL, NULL, 1),
    (3, 'Extract Heuristics, Not Just Outcomes', '2999-01-01 08:00:00', 'A description that is longer than forty-five characters, so it is cut', 's2', 0),
    (3, 'Extract Heuristics, Not Just Outcomes', '2025-01-01 08:00:00', 'Long ago', NULL, 0);
INSERT INTO decisions (title, context, decision, rationale, status, domain, created_at, updated_at) VALUES
    ('Use SQLite', 'We need rows', 'SQLite in WAL mode', 'It is there', 'accepted', 'ci', '2025-10-01 09:00:00', '2025-10-01 09:00:00'),
    ('Use git', 'History', 'libgit2', 'No process', 'accepted', NULL, '2025-10-02 09:00:00', '2025-10-01 09:00:00'),
    ('Use files', 'a', 'b', 'c', 'superseded', 'ci', '2025-10-01 09:00:00', '2025-10-01 09:00:00');
INSERT INTO invariants (statement, rationale, domain, scope, validation_type, severity, status, violation_count, created_at) VALUES
    ('Every record is in git', 'Else lost', 'ci', 'codebase', NULL, 'error', 'active', 0, '2025-10-01 09:00:00'),
    ('No panic', 'It is bad', NULL, 'runtime', NULL, 'warning', 'violated', 0, '2025-10-02 09:00:00');
INSERT INTO spike_reports (title, topic, question, findings, gotchas, resources, time_invested_minutes, domain, tags,
    usefulness_score, access_count, created_at, updated_at) VALUES
    ('FTS5', 'search', 'Is it fast?', 'Yes, very', 'contentless', 'sqlite.org', 90, 'ci', 'sqlite,search', 4.5, 1,
        '2025-10-01 09:00:00', '2025-10-01 09:00:00'),
    ('Other', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, '2025-10-02 09:00:00', '2025-10-01 09:00:00');
INSERT INTO assumptions (assumption, context, source, confidence, status, domain, verified_count, challenged_count,
    last_verified_at, created_at) VALUES
    ('Disks sync', 'We call fdatasync', 'docs', 0.8, 'active', 'ci', 2, 0, '2025-10-02 09:00:00', '2025-10-01 09:00:00'),
    ('Clocks go forward', NULL, NULL, 0.55, 'active', NULL, 0, 0, NULL, '2025-10-01 09:00:00'),
    ('Files stay', NULL, NULL, 0.3, 'challenged', 'ci', 1, 2, NULL, '2025-10-01 09:00:00'),
    ('Wrong one', 'context', 'source', 0.1, 'invalidated', 'net', 0, 5, NULL, '2025-10-01 09:00:00');
