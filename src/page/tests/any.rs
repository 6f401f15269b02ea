//! Whatever a page holds.

use super::*;

/// Text made of what has broken such formats before, and of anything else.
fn nasty() -> impl Strategy<Value = String> {
    #[rustfmt::skip]
    const PIECES: &[&str] = &[
        "---", "\n---\n", "...", "\n", "\r\n", "\r", "\t", " ", "  ", "\"", "'", "\\", "\\n", "\\x", ": ", "#", " #",
        "# ", "\n# a\n", "\n\n", ",", ", ", "[", "]", "{", "}", "&a", "*a", "!!str", "|", ">", "%", "%%", "@", "`",
        "```\n", "~", "null", "yes", "0x1", "1e3", ".nan", "<<", "<!--", "-->", "<script>", "## ",
        "\n## Success criteria\n", "\n\n## Success criteria\n\n", "\n\n## Failure criteria\n\n", "\u{feff}",
        "\u{202e}", "\u{2028}", "\u{85}", "\u{a0}", "\x1b[31m", "\x01", "\x7f", "\u{ffff}", "\u{1fffe}", "\u{e0041}",
        "\u{200b}", "\u{200d}", "👩‍👧", "ä", "日本", "id: 0198f3a2-7c1e-7b3d-9a4f-5566778899ab",
    ];
    let piece = prop_oneof![
        6 => proptest::sample::select(PIECES).prop_map(str::to_owned),
        2 => "[a-z]{0,4}",
        1 => any::<char>().prop_filter("NUL is refused before", |c| *c != '\0').prop_map(String::from),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// The failure that every other success followed.
const RESOLVED: RecordId = RecordId(Uuid::from_u128(0x0198_f3a2_7c1e_7b3d_9a4f_5566_7788_99aa));

fn records() -> impl Strategy<Value = Record> {
    let number = prop_oneof![0.0..=1.0, Just(0.1 + 0.2), Just(f64::MIN_POSITIVE), Just(5e-324)];
    let learning = (nasty(), nasty(), 1..=5_u8, nasty(), nasty()).prop_map(|(title, domain, number, tags, summary)| {
        Learning { title, domain, severity: severity(number), tags, summary, ..Learning::default() }
    });
    let heuristic =
        (nasty(), nasty(), nasty(), nasty(), number).prop_map(|(domain, rule, explanation, source, number)| {
            Heuristic { domain, rule, explanation, source, confidence: confidence(number) }
        });
    let experiment = (
        nasty(),
        nasty(),
        nasty(),
        nasty(),
        proptest::option::of((proptest::sample::select(&ExperimentResult::ALL), nasty())),
    )
        .prop_map(|(name, hypothesis, success_criteria, failure_criteria, ended)| {
            let (result, outcome) = ended.map_or((None, String::new()), |(result, outcome)| (Some(result), outcome));
            Experiment { name, hypothesis, success_criteria, failure_criteria, result, outcome }
        });
    let rulings = proptest::sample::select(&Ruling::ALL);
    let verdict = (rulings, any::<u128>(), nasty()).prop_map(|(verdict, of, because)| {
        let of = RecordId(uuid::Uuid::from_u128(of));
        Verdict { verdict, of, because }
    });
    prop_oneof![
        3 => (learning, 0..3).prop_map(|(it, kind)| match kind {
            0 => Record::Failure(it),
            1 => Record::Success(Learning { resolves: it.title.len().is_multiple_of(2).then_some(RESOLVED), ..it }),
            _ => Record::Observation(it),
        }),
        1 => heuristic.prop_map(Record::Heuristic),
        1 => experiment.prop_map(Record::Experiment),
        1 => verdict.prop_map(Record::Verdict),
    ]
}

fn provenances() -> impl Strategy<Value = Provenance> {
    let texts = proptest::collection::vec(proptest::option::of(nasty()), PROVENANCE.len());
    (texts, proptest::option::of(proptest::sample::select(&Origin::ALL))).prop_map(|(texts, origin)| {
        let mut provenance = Provenance { origin, ..Provenance::default() };
        for (spec, text) in PROVENANCE.iter().zip(texts).filter(|(spec, _)| spec.field != Field::Origin) {
            provenance.set(spec.field, text.unwrap_or_default()).unwrap();
        }
        provenance
    })
}

fn times() -> impl Strategy<Value = Timestamp> {
    (-62_135_596_800_000..253_402_207_200_000_i64).prop_map(|ms| Timestamp::from_millisecond(ms).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn an_unedited_page_is_exactly_its_record(
        bits in any::<u128>(), at in times(), key in proptest::option::of(nasty()), record in records(), provenance in provenances(),
        level in proptest::sample::select(&Level::ALL)
    ) {
        let id = RecordId(Uuid::from_u128(bits));
        let request = Request { record, key, provenance };
        let files = crate::page::files(id, at, &request, level);
        for file in &files {
            prop_assert_eq!(check_path(&file.path), Ok(()));
            prop_assert!(!file.text.contains(|c| text::is_hidden(c) && c != '\n' && c != '\t'));
            prop_assert_eq!(id_of(file.text.as_bytes()), Some(id));
        }
        let (revision, fields) = (Some(Revision::first(id)), BTreeMap::new());
        let mut wanted = Parsed { id, kind: PageKind::Record, created_at: at, revision, fields, request: Some(request) };
        prop_assert_eq!(&parse(files[0].text.as_bytes()).unwrap(), &wanted);
        let crlf = files[0].text.replace('\n', "\r\n");
        prop_assert_eq!(&parse(format!("\u{feff}{crlf}").as_bytes()).unwrap(), &wanted);
        // Amended, and from before revisions existed.
        let op = |n: u64| Revision { n, op: Uuid::from_u128(bits ^ u128::from(n)) };
        let fields = BTreeMap::from([("title".to_owned(), op(2)), ("tags".to_owned(), op(3))]);
        let amended = Amended { revision: op(3), fields };
        let request = wanted.request.clone().unwrap();
        let page = amended_page(id, at, &request, &amended);
        let parsed = parse(page.as_bytes()).unwrap();
        prop_assert_eq!((parsed.amended(), parsed.request), (Some(amended), Some(request)));
        wanted.revision = None;
        prop_assert_eq!(&parse(files[0].text.replacen("revision: 1\n", "", 1).as_bytes()).unwrap(), &wanted);
        prop_assert_eq!(wanted.amended(), None);
    }

    #[test]
    fn any_yaml_reader_finds_the_strings(record in records(), key in nasty()) {
        let page = files(id(), at(), Some(&key), &record, false).remove(0).text;
        let yaml = &page["---\n".len()..page.find("\n---\n").unwrap() + 1];
        let front: serde_json::Value = serde_saphyr::from_str(yaml).unwrap();
        prop_assert_eq!(front["id"].as_str().unwrap(), id().to_string());
        prop_assert_eq!(front["kind"].as_str().unwrap(), record.kind().name());
        prop_assert_eq!(front["key"].as_str().unwrap(), key);
        let fields = serde_json::to_value(&record).unwrap();
        for (name, value) in fields.as_object().unwrap() {
            let found = match name.as_str() {
                "summary" | "explanation" | "hypothesis" | "because" if front.get("body").is_some() => &front["body"],
                "summary" | "explanation" | "hypothesis" | "because" => continue,
                "tags" if front.get("tags_exact").is_some() => &front["tags_exact"],
                "tags" => {
                    let items: Vec<_> = front["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap()).collect();
                    prop_assert_eq!(items.join(","), value.as_str().unwrap());
                    continue;
                }
                name => &front[name],
            };
            prop_assert_eq!(found, value, "{}", name);
        }
    }

    #[test]
    fn reading_never_panics(text in nasty(), front in nasty(), bytes in any::<Vec<u8>>()) {
        let _ = (parse(&bytes), id_of(&bytes));
        let _ = parse(text.as_bytes());
        for kind in Kind::ALL {
            let page = format!("---\nid: {}\nkind: {kind}\ntitle: t\nrule: r\nname: n\n{front}\n---\n{text}", id());
            let _ = parse(page.as_bytes());
        }
    }

    #[test]
    fn a_page_cut_anywhere_or_flipped_is_read_without_panic(record in records(), cut in any::<prop::sample::Index>(), bit in 0..8_u32) {
        let mut page = page_of(&record).into_bytes();
        let at = cut.index(page.len());
        let _ = (parse(&page[..at]), id_of(&page[..at]));
        page[at] ^= 1_u8 << bit;
        let _ = (parse(&page), id_of(&page));
    }

    #[test]
    fn an_edited_hypothesis_keeps_its_neighbours(
        parts in (nasty(), "[a-z]{1,9}", "[a-z]{1,9}"), added in "[a-z]{1,9}"
    ) {
        let (hypothesis, success, failure) = parts;
        let page = page_of(&experiment(&hypothesis, &success, &failure));
        let edited = page.replacen("# Batch the commits\n\n", &format!("# Batch the commits\n\n{added}"), 1);
        let wanted = format!("{added}{}", text::visible(&hypothesis));
        prop_assert_eq!(record_in(&edited), experiment(&wanted, &success, &failure));
    }

    #[test]
    fn a_domain_page_shows_each_heuristic_once(rules in proptest::collection::vec((nasty(), nasty(), nasty()), 0..6)) {
        let entries: Vec<_> = rules.into_iter().zip(0_u128..).map(|((rule, explanation, source), nth)| PageEntry {
            id: RecordId(Uuid::from_u128(nth)),
            // No two of them are the same rule.
            rule: format!("{nth} {rule}"),
            explanation,
            source,
            confidence: 0.5,
            created_at: at(),
            path: format!("memory/heuristics/d/2026/03/04/r-{nth:08x}.md"),
            given: Vec::new(),
            validated_elsewhere: 0,
            violated_elsewhere: 0,
        }).collect();
        let page = domain_page("d\n## x", entries.iter().cloned());
        prop_assert_eq!(&page, &domain_page("d\n## x", entries.iter().cloned()));
        prop_assert!(is_unedited(&page));
        prop_assert!(!page.contains(|c| text::is_hidden(c) && c != '\n'));
        for (entry, line) in entries.iter().zip(page.lines().filter(|line| line.starts_with("##"))) {
            let start = format!("## H-{}: ", entry.id.short());
            prop_assert!(line.starts_with(&start));
        }
        prop_assert_eq!(page.lines().filter(|line| line.starts_with("##")).count(), entries.len());
        let ours = ["> ", "- **", "[The record](", "and recorded again: [", "## H-", "# Heuristics: "];
        for line in page.lines().skip(1).filter(|line| !matches!(*line, "" | ">") && !line.ends_with(" heuristics.") && *line != "1 heuristic.") {
            prop_assert!(ours.iter().any(|start| line.starts_with(start)), "{:?}", line);
            let data = line.trim_start_matches(['>', ' ', '#']);
            for mark in ["<", "`", "%%"] {
                let bare = data.match_indices(mark).any(|(at, _)| !data[..at].ends_with('\\'));
                prop_assert!(!bare, "{} bites in {:?}", mark, data);
            }
        }
    }
}

/// Not a guarantee, but a guard against quadratic time: these take tens of milliseconds each in a release build.
#[test]
fn large_pages_take_no_time_to_speak_of() {
    let started = std::time::Instant::now();
    let text = "a \"line\" of <!-- text \u{1}\n".repeat(40_000);
    let record = experiment(&text, &text, &text);
    assert_eq!(record_in(&page_of(&record)), record);
    let entry = PageEntry {
        id: id(),
        rule: "Sync the *folder* after the rename ".repeat(4),
        explanation: "A rename is durable only once its folder is.\nSo `fsync` that.\n".repeat(4),
        source: "failure".into(),
        confidence: 0.7,
        created_at: at(),
        path: "memory/heuristics/fs/2026/03/04/sync-778899aa.md".into(),
        given: Vec::new(),
        validated_elsewhere: 0,
        violated_elsewhere: 0,
    };
    let rendering = std::time::Instant::now();
    let entries = (0..10_000).map(|nth| PageEntry { rule: format!("{nth} {}", entry.rule), ..entry.clone() });
    let page = domain_page("fs", entries);
    println!("rendered {} bytes in {:?}", page.len(), rendering.elapsed());
    assert!(is_unedited(&page));
    println!("all in {:?}", started.elapsed());
    assert!(started.elapsed().as_secs() < 60);
}
