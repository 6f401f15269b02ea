//! The shapes of secrets: one table. If two rules find the same secret, the earlier one names it.

use regex::Regex;

/// One shape.
pub(super) struct Rule {
    /// The rule's name in the placeholder.
    pub(super) name: &'static str,
    /// In lower case. A text without any of these is skipped.
    pub(super) literals: &'static [&'static str],
    /// Whether the regex can match at a literal, by the text after it. False positives are allowed, false negatives are not.
    pub(super) follows: fn(&str) -> bool,
    /// The regex. Its group `secret` is replaced, or the whole match if it has no such group. `\b` is ASCII only, so that a
    /// secret next to a letter of another script is found.
    pub(super) pattern: &'static str,
    /// Whether a match is a secret.
    pub(super) accept: fn(&str) -> bool,
}

const fn rule(name: &'static str, literals: &'static [&'static str], pattern: &'static str) -> Rule {
    judged(name, literals, pattern, |_| true)
}

const fn judged(
    name: &'static str,
    literals: &'static [&'static str],
    pattern: &'static str,
    accept: fn(&str) -> bool,
) -> Rule {
    Rule { name, literals, follows: |_| true, pattern, accept }
}

impl Rule {
    const fn followed_by(self, follows: fn(&str) -> bool) -> Rule {
        Rule { follows, ..self }
    }

    /// Compiles the regex. A Unicode word boundary would make a search a thousand times slower in a text with letters beyond
    /// ASCII, so `\b` is ASCII only.
    pub(super) fn compiled(&self) -> Result<Regex, regex::Error> {
        Regex::new(&self.pattern.replace(r"\b", r"(?-u:\b)"))
    }
}

pub(super) const RULES: [Rule; 51] = [
    rule(
        "private-key",
        &["private key"],
        r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(?:[\s\S]*?-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|[A-Za-z0-9+/=\s\\]*)",
    ),
    rule("age-key", &["age-secret-key-1"], r"AGE-SECRET-KEY-1[0-9A-Z]{40,}"),
    // Clouds
    rule("aws-access-key", &["akia", "asia", "abia", "acca"], r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b"),
    rule(
        "aws-secret-key",
        &["secret_access_key", "secretaccesskey", "secret-access-key"],
        r#"(?i)secret[_-]?access[_-]?key["'\\\s:=>]{1,8}(?P<secret>[A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+=]|$)"#,
    ),
    rule("gcp-api-key", &["aiza"], r"\bAIza[0-9A-Za-z_-]{35}"),
    rule("gcp-oauth-token", &["ya29.", "gocspx-"], r"\b(?:ya29\.[0-9A-Za-z_-]{20,}|GOCSPX-[0-9A-Za-z_-]{20,})"),
    rule("gcp-key-id", &["private_key_id"], r#"private_key_id\\?["']\s*:\s*\\?["'](?P<secret>[0-9a-f]{40})"#),
    rule(
        "azure-storage-key",
        &["accountkey=", "sharedaccesskey="],
        r"(?i)(?:AccountKey|SharedAccessKey)=(?P<secret>[A-Za-z0-9+/]{40,}={0,2})",
    ),
    rule("azure-client-secret", &["8q~"], r"\b[0-9A-Za-z_~.-]{3}8Q~[0-9A-Za-z_~.-]{31,34}"),
    rule("azure-sas", &["sig="], r"[?&]sig=(?P<secret>[A-Za-z0-9%+/_-]{30,}=?)"),
    rule("digitalocean-token", &["_v1_"], r"\bdo[opr]_v1_[0-9a-f]{64}"),
    rule("databricks-token", &["dapi"], r"\bdapi[0-9a-f]{32}\b"),
    // Where code lives
    rule(
        "github-token",
        &["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"],
        r"\b(?:gh[pousr]_[0-9A-Za-z]{36,255}|github_pat_[0-9A-Za-z_]{40,255})",
    ),
    rule(
        "gitlab-token",
        &["glpat-", "gldt-", "glptt-", "glrt-", "glft-", "glsoat-", "glcbt-", "glagent-"],
        r"\bgl(?:pat|dt|ptt|rt|ft|soat|cbt|agent)-[0-9A-Za-z_.-]{20,}",
    ),
    rule("npm-token", &["npm_"], r"\bnpm_[0-9A-Za-z]{36}\b"),
    judged("npmrc-token", &["_authtoken"], r#"_authToken\s*=\s*["']?(?P<secret>[^\s"']{8,})"#, is_no_placeholder),
    rule("pypi-token", &["pypi-"], r"\bpypi-[A-Za-z0-9_-]{50,}"),
    rule("crates-io-token", &["cio"], r"\bcio[0-9A-Za-z]{32}\b"),
    rule("rubygems-token", &["rubygems_"], r"\brubygems_[0-9a-f]{48}\b"),
    rule("docker-token", &["dckr_pat_"], r"\bdckr_pat_[0-9A-Za-z_-]{20,}"),
    // Models
    rule("anthropic-key", &["sk-ant-"], r"\bsk-ant-[0-9A-Za-z_-]{24,}"),
    judged(
        "openai-key",
        &["sk-"],
        r"\bsk-(?:(?:proj|svcacct|admin)-[0-9A-Za-z_-]{32,}|(?:or-v1-)?[0-9A-Za-z]{32,})",
        has_digit,
    ),
    rule("huggingface-token", &["hf_"], r"\bhf_[0-9A-Za-z]{34}\b"),
    rule("groq-key", &["gsk_"], r"\bgsk_[0-9A-Za-z]{40,}"),
    // Services
    rule("slack-token", &["xox", "xapp-"], r"\b(?:xox[abeoprs]|xapp)-[0-9A-Za-z-]{16,}"),
    rule(
        "slack-webhook",
        &["hooks.slack.com/"],
        r"hooks\.slack\.com/(?:services|workflows|triggers)/(?P<secret>[0-9A-Za-z/_+-]{20,})",
    ),
    rule(
        "discord-webhook",
        &["/api/webhooks/"],
        r"discord(?:app)?\.com/api/webhooks/[0-9]+/(?P<secret>[0-9A-Za-z_-]{40,})",
    ),
    rule("telegram-token", &[":aa"], r"\b[0-9]{8,10}:AA[0-9A-Za-z_-]{33}"),
    rule(
        "stripe-key",
        &["k_live_", "k_test_", "whsec_"],
        r"\b(?:[rs]k_(?:live|test)_[0-9A-Za-z]{16,}|whsec_[0-9A-Za-z+/=]{24,})",
    ),
    rule("sendgrid-key", &["sg."], r"\bSG\.[0-9A-Za-z_-]{22}\.[0-9A-Za-z_-]{43}"),
    rule("shopify-token", &["shpat_", "shpca_", "shppa_", "shpss_"], r"\bshp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),
    rule("vault-token", &["hvs.", "hvb."], r"\bhv[sb]\.[0-9A-Za-z_-]{24,}"),
    rule("grafana-token", &["glsa_", "glc_"], r"\b(?:glsa|glc)_[0-9A-Za-z+/=_]{32,}"),
    rule("linear-key", &["lin_api_"], r"\blin_api_[0-9A-Za-z]{32,}"),
    rule("sentry-token", &["sntrys_", "sntryu_"], r"\bsntry[su]_[0-9A-Za-z+/=_]{32,}"),
    rule("atlassian-token", &["atatt3"], r"\bATATT3[0-9A-Za-z_=-]{40,}"),
    rule("jwt", &["eyj"], r"\beyJ[0-9A-Za-z_-]{8,}\.eyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{8,}"),
    // Wherever they are written
    judged(
        "authorization",
        &["authorization", "bearer ", "cookie:"],
        concat!(
            r#"(?i)(?:\b(?:proxy-)?authorization\\?["']?\s*[:=]\s*\\?["']?(?:[a-z][a-z0-9-]{2,20}\s+)?|\bbearer\s+|\b(?:set-)?cookie:\s*[^\s=;]+=)"#,
            r#"(?P<secret>[0-9A-Za-z._~+/%|-]{12,}=*)"#
        ),
        |text| is_no_placeholder(text) && (has_digit(text) || text.ends_with('=')),
    ),
    judged(
        "url-password",
        &["://"],
        r#"[A-Za-z][A-Za-z0-9+.-]*://[^\s/:@"'<>\[]*:(?P<secret>[^\s/@"'<>]+)@"#,
        is_no_placeholder,
    )
    .followed_by(has_password),
    judged(
        "password-flag",
        &["--pass", "--token", "--secret", "--api-key", "--apikey", "--auth-key", "--authkey", "-password", "-token", "-secret", "-passwd", "-passphrase", "-pass ", "-pass=", "curl"],
        concat!(
            // `--no-password` and the like are followed by something else.
            r#"(?:\s--(?:(?:access|account|admin|agent|api|app|auth|backup|become|bearer|bind|bot|cert|client|cluster|connection|consumer|current|db|database|deploy|docker|email|encryption|export|ftp|github|gitlab|http|https|id|imap|import|join|jwt|key|keystore|ldap|login|mail|master|new|npm|old|personal|pfx|proxy|pull|push|refresh|registry|repo|repository|root|sas|server|service|session|signing|smtp|ssh|storage|store|sudo|svn|trust|truststore|user|vault|vnc|wallet|webhook|wifi)-)*"#,
            r#"(?:password|passwd|passphrase|pass|token|secret|api-?key|client-secret|auth-token|access-token|auth-?key|secret-key)[= ]"#,
            r#"|\bcurl\s(?:[^\n]*?\s)?(?:-u|--user|-x|--proxy)[ =]?["']?[^\s:"'-][^\s:"']*:)["']?(?P<secret>[^\s"'`;|&()<>]{4,})"#
        ),
        |text| is_no_placeholder(text) && !text.starts_with('-') && !text.starts_with('/'),
    ),
    judged(
        "query-secret",
        &["token=", "secret=", "password=", "key="],
        r#"[?&](?:[a-z_]*token|[a-z_]*secret|password|api_?-?key|key)=(?P<secret>[^\s&"'<>#]{8,})"#,
        |text| is_no_placeholder(text) && has_digit(text),
    ),
    judged(
        "assigned-secret",
        SECRET_WORDS,
        // NAME=value, as in a shell and in .env
        r#"\b(?:[A-Z0-9]+_)*(?:(?:PG|MYSQL|SSH|MARIADB|PSQL)(?:PASSWORD|PASS)|SECRET|TOKEN|PASSWORD|PASSWD|PASS|PWD|PASSPHRASE|CREDENTIALS?|(?:API|ACCESS|SECRET|PRIVATE|ENCRYPTION|SIGNING|AUTH|MASTER)_?KEY)(?:_?[0-9]+)?=["']?(?P<secret>[^\s"'`;&|<>()]{4,})"#,
        is_no_placeholder,
    )
    .followed_by(is_assigned),
    judged(
        "assigned-secret",
        &["rediscli_auth=", "sqlcmdpassword=", "tf_var_"],
        r#"\b(?:REDISCLI_AUTH|SQLCMDPASSWORD|TF_VAR_[A-Za-z0-9_]*(?:password|passwd|secret|token|key))=["']?(?P<secret>[^\s"'`;&|<>()]{4,})"#,
        is_no_placeholder,
    ),
    judged(
        "property-secret",
        &["password=", "passwd=", "passphrase=", "secret=", "token=", "pass=", "sonar.login="],
        // -Ddb.password=value and -var db_password=value
        r#"\s(?:-[DPe]|-var[= ]|-e |-[Fd] ?|--(?:form|data)(?:-[a-z]+)?[ =]|--set |--extra-vars )["']?[A-Za-z0-9_.-]*(?i:password|passwd|passphrase|secret|token|pass|sonar\.login)=["']?(?P<secret>[^\s"'`,]{3,})"#,
        is_no_placeholder,
    ),
    judged(
        "flag-secret",
        &["password=", "passwd=", "passphrase=", "secret=", "token=", "pass=", "key="],
        // --spring.datasource.password=value and --secret_key=value, with any prefix
        r#"\s--(?:[A-Za-z0-9]+[_.-])*(?:db)?(?i:password|passwd|passphrase|pass|secret|token|(?:secret|api|auth|account)[_-]?key)=["']?(?P<secret>[^\s"'`;|&()<>]{4,})"#,
        is_no_placeholder,
    ),
    judged(
        "header-secret",
        &["key:", "token:", "secret:", "password:"],
        // Of a request: X-Api-Key: value
        concat!(
            r#"(?i)(?:\s(?:-H\s*|--header[ =])["']?[a-z0-9-]*(?:key|token|secret|password)|\bx-(?:[a-z0-9]+-)*(?:(?:api|access|auth|secret)-?key|token|secret|password)"#,
            r#"|\b(?:private|job|deploy)-token):\s*(?P<secret>[^\s"'\\]{6,})"#
        ),
        is_no_placeholder,
    ),
    judged(
        "netrc-password",
        &["machine "],
        r"\bmachine\s+\S+\s+login\s+\S+\s+password\s+(?P<secret>[^\s\x22']+)",
        is_no_placeholder,
    ),
    judged(
        "pgpass-password",
        &[".pgpass"],
        r#"[^\s:"']+:(?:[0-9]+|\*):[^\s:]+:[^\s:]+:(?P<secret>[^\s"']+)["']?\s*>[^\n]*\.pgpass"#,
        is_no_placeholder,
    ),
    judged(
        "sql-password",
        &["identified", "password '", "password('"],
        r#"(?i)\b(?:identified\s+(?:with\s+\S+\s+)?(?:by|as)\s+(?:password\s+)?|password(?:\s+|\())\\?'(?P<secret>[^'\n\\]+)\\?'"#,
        is_no_placeholder,
    ),
    judged(
        "quoted-secret",
        SECRET_WORDS,
        concat!(
            // name = "value" and "name": "value"
            r#"(?im)(?:[a-z0-9]+[_.-])*[a-z0-9]*(?:secret|token|password|passwd|passphrase|[a-z0-9]_pass|api[_-]?key|access[_-]?key|secret[_-]?key|private[_-]?key|auth[_-]?key|credentials?)"#,
            r#"\\?["']?\s*(?::=|=>|[:=])\s*(?:[bru]?\\?["'`])(?P<secret>[^\s"'`\\]{6,})\\?["'`]"#
        ),
        |text| is_no_placeholder(text) && (has_digit(text) || text.contains(['!', '#', '@', '%', '&', '*', '+', '='])),
    )
    .followed_by(is_quoted),
    judged(
        "configured-secret",
        SECRET_WORDS,
        concat!(
            // name: value and name = value, alone on a line
            r#"(?im)^\s*(?:- )?[a-z0-9_.-]*(?:secret|token|password|passwd|passphrase|api[_-]?key|access[_-]?key|secret[_-]?key|private[_-]?key)"#,
            r#"\s*[:=]\s*(?P<secret>[^\s"'`;,(){}<>\[\]]{6,})\s*$"#
        ),
        |text| is_no_placeholder(text) && has_digit(text),
    )
    .followed_by(is_configured),
];

/// The endings of names for secrets.
const SECRET_WORDS: &[&str] =
    &["secret", "token", "pass", "password", "passwd", "passphrase", "pwd", "key", "credential", "credentials"];

/// Whether the text after `://` may be `user:password@`.
fn has_password(rest: &str) -> bool {
    let end = rest.find(|c: char| c == '@' || c == '/' || c.is_whitespace());
    end.is_some_and(|end| rest[end..].starts_with('@'))
}

/// Whether the text after a name may be `=value`, or `_2=value`.
fn is_assigned(rest: &str) -> bool {
    rest.trim_start_matches(|c: char| c == '_' || c.is_ascii_digit()).starts_with('=')
}

/// Whether the text after a name may be `: "value"`, after the name's own closing quote.
fn is_quoted(rest: &str) -> bool {
    let rest = rest.trim_start_matches(['\\', '"', '\'']).trim_start();
    let value = rest.strip_prefix([':', '=']).map(|rest| rest.trim_start_matches(['=', '>']).trim_start());
    let value = value.map(|value| value.trim_start_matches(['b', 'r', 'u', 'B', 'R', 'U', '\\']));
    value.is_some_and(|value| value.starts_with(['"', '\'', '`']))
}

/// Whether the text after a name may be `: value`.
fn is_configured(rest: &str) -> bool {
    rest.trim_start().starts_with([':', '='])
}

fn has_digit(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit())
}

/// Placeholders where a secret will be: a reference, a word for one, or text that is already redacted.
pub(super) fn is_no_placeholder(text: &str) -> bool {
    const BEGINNINGS: [&str; 11] =
        ["$", "%", "<", "{", "...", "process.env", "os.environ", "env.", "secrets.", "your", "op://"];
    const WORDS: [&str; 19] = [
        "true",
        "false",
        "null",
        "none",
        "nil",
        "undefined",
        "string",
        "password",
        "passwd",
        "secret",
        "token",
        "required",
        "optional",
        "changeme",
        "change_me",
        "pass",
        "test",
        "unset",
        "example",
    ];
    let lower = text.trim_end_matches([',', ';', '.', ')']).to_lowercase();
    let first = lower.chars().next().unwrap_or('*');
    let filler = lower.chars().all(|c| c == first || matches!(c, '*' | 'x' | '.' | '-' | '_' | '•'));
    let number = lower.len() <= 5 && lower.bytes().all(|byte| byte.is_ascii_digit());
    !filler
        && !number
        && !WORDS.contains(&lower.as_str())
        && !BEGINNINGS.iter().any(|beginning| lower.starts_with(beginning))
        && !lower.contains("placeholder")
        && !lower.contains("[redacted:")
}
