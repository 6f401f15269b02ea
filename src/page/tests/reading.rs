//! How edited pages are read.

use super::*;

#[test]
fn front_matter_in_other_hands() {
    let page = format!(
        "\u{feff}--- \r\n# a comment\r\naliases:\r\n- x\r\n1: one\r\ntags:\r\n  - git\r\n  - 2026\r\n  - 1.10\r\n  -\r\n\
         severity: High # really\r\ntitle: 'It''s  here'\r\ndomain: 007\r\nextra: {{a: [1, ~]}}\r\n\
         created_at: 2026/01/02 03:04 UTC\r\nkind: Failure\r\nkey: yes\r\nid: '{}'\r\n---\r\nNo heading.\r\nTwo.\r\n",
        id().to_string().to_uppercase()
    );
    let parsed = parse(page.as_bytes()).unwrap();
    assert_eq!(parsed.id, id());
    assert_eq!(id_of(page.as_bytes()), Some(id()));
    assert_eq!(parsed.created_at, "2026-01-02T03:04:00Z".parse().unwrap());
    let Request { record, key, provenance } = parsed.request.unwrap();
    assert_eq!((key.as_deref(), provenance), (Some("yes"), Provenance::default()));
    let wanted = Learning {
        title: "It's  here".into(),
        domain: "007".into(),
        severity: severity(4),
        tags: "git,2026,1.10".into(),
        summary: "No heading.\nTwo.".into(),
        ..Learning::default()
    };
    assert_eq!(record, Record::Failure(wanted));
}

#[test]
fn tags_come_in_any_shape() {
    let cases = [
        ("tags: a, b\n", "a, b"),
        ("tags: [a, \"b\"]\n", "a,b"),
        ("tags:\n  - a\n", "a"),
        ("tags:\n", ""),
        ("tags: 1.10\n", "1.10"),
        ("tags: {a: b}\n", ""),
        ("tags: [[a]]\n", ""),
        ("tags: [a, b]\ntags_exact: 'a, b'\n", "a, b"),
        ("tags: [a, c]\ntags_exact: 'a, b'\n", "a,c"),
        ("tags_exact: 'a, b'\n", ""),
    ];
    for (yaml, wanted) in cases {
        let Record::Failure(it) = record_in(&by_hand(&format!("title: t\n{yaml}"), "")) else { panic!() };
        assert_eq!(it.tags, wanted, "{yaml}");
    }
}

#[test]
fn times_come_in_many_forms() {
    let noon: Timestamp = "2026-01-02T12:00:00Z".parse().unwrap();
    let midnight: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
    let own = Timestamp::from_millisecond(0x0198_f3a2_7c1e).unwrap();
    let cases = [
        ("2026-01-02T12:00:00.000Z", noon),
        ("\"2026-01-02T13:00:00+01:00\"", noon),
        ("2026-01-02 12:00:00", noon),
        ("2026-01-02T12:00", noon),
        ("2026-01-02 12:00:00 UTC", noon),
        ("2026-01-02", midnight),
        ("20260102", midnight),
        ("2026/01/02", midnight),
        ("last tuesday", own),
        ("", own),
        ("9999999-99-99", own),
    ];
    for (written, wanted) in cases {
        let page = format!("---\nid: {}\nkind: failure\ntitle: t\ncreated_at: {written}\n---\n", id());
        assert_eq!(parse(page.as_bytes()).unwrap().created_at, wanted, "{written}");
    }
    let keyed = format!("---\nid: {}\nkind: failure\ntitle: t\n---\n", RecordId::of_key(HomeId::default(), "k"));
    assert_eq!(parse(keyed.as_bytes()), Err(NotARecord::Missing { field: "created_at" }));
}

#[test]
fn numbers_come_as_words_and_only_within_bounds() {
    for (word, wanted) in [("low", 2), ("Medium", 3), ("HIGH", 4), ("critical", 5), ("1", 1), ("'5'", 5), ("4.0", 4)] {
        assert_eq!(
            record_in(&by_hand(&format!("title: t\nseverity: {word}\n"), "")).severity(),
            severity(wanted),
            "{word}"
        );
    }
    for word in ["0", "6", "2.5", "dire", "nan", "-1", "99999999999999999999"] {
        let page = by_hand(&format!("title: t\nseverity: {word}\n"), "");
        assert!(matches!(parse(page.as_bytes()), Err(NotARecord::Bad { field: "severity", .. })), "{word}");
    }
    let read = |word: &str| {
        let page = format!("---\nid: {}\nkind: heuristic\nrule: r\nconfidence: {word}\n---\n", id());
        parse(page.as_bytes()).map(|parsed| match parsed.request.map(|request| request.record) {
            Some(Record::Heuristic(it)) => it.confidence.get(),
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(read("high"), Ok(0.85));
    assert_eq!(read("1"), Ok(1.0));
    assert_eq!(read("5e-324"), Ok(5e-324));
    for word in ["1.1", "-0.1", ".nan", "inf", "sure"] {
        assert!(matches!(read(word), Err(NotARecord::Bad { field: "confidence", .. })), "{word}");
    }
}

#[test]
fn what_people_see_counts_once_they_edit_it() {
    let page = page_of(&failure("t", "", "one\r\ntwo"));
    assert_eq!(record_in(&page), failure("t", "", "one\r\ntwo"));
    let edited = page.replace("two\n", "two, and three\n");
    assert_eq!(record_in(&edited), failure("t", "", "one␍\ntwo, and three"));
    let heading = page.replace("# t\n", "# Another\n");
    assert_eq!(record_in(&heading), failure("t", "", "one\r\ntwo"), "the title is the front matter's");
    let crlf = page.replace('\n', "\r\n");
    assert_eq!(record_in(&crlf), failure("t", "", "one\r\ntwo"), "line ends are no edit");
}

#[test]
fn an_experiments_parts_are_edited_one_by_one() {
    let trap = "A.\n\n## Success criteria\n\nNot these.\n\n## Failure criteria\n\nNor these.";
    let (success, failure) = ("Yes\x07.", "No.\n\n## Failure criteria\n\nStill.");
    let page = page_of(&experiment(trap, success, failure));
    assert_eq!(record_in(&page), experiment(trap, success, failure));
    let edited = |from: &str, to: &str| {
        let at = page.rfind(from).unwrap();
        record_in(&format!("{}{to}{}", &page[..at], &page[at + from.len()..]))
    };
    assert_eq!(
        edited("Nor these.", "Nor those."),
        experiment(&trap.replace("these.", "those.").replace("Not those", "Not these"), success, failure)
    );
    assert_eq!(edited("Yes␇.", "Yes!"), experiment(trap, "Yes!", failure));
    assert_eq!(edited("Still.", "Still!"), experiment(trap, success, &failure.replace("Still.", "Still!")));

    let plain = page_of(&experiment("A.", "Yes.", "No."));
    let all = plain.replace("A.\n\n#", "B.\n\n\n#").replace("Yes.\n", "Yes!\n\n").replace("No.\n", "No!\n");
    assert_eq!(record_in(&all), experiment("B.", "Yes!", "No!"));
    let cut = &plain[..plain.find("\n\n## Failure").unwrap()];
    assert_eq!(record_in(cut), experiment("A.", "Yes.", ""));
}

#[test]
fn the_first_of_two_equal_keys_counts() {
    let page = by_hand(&format!("title: one\ntitle: two\nid: {}\n", RecordId(Uuid::from_u128(7))), "");
    let parsed = parse(page.as_bytes()).unwrap();
    assert_eq!(parsed.request.unwrap().record.headline(), "one");
    assert_eq!((Some(parsed.id), id_of(page.as_bytes())), (Some(id()), Some(id())));
}

#[test]
fn what_is_no_record_says_why() {
    let reason = |page: &str| parse(page.as_bytes()).unwrap_err();
    assert_eq!(reason(""), NotARecord::NoFrontMatter);
    assert_eq!(reason("# Just markdown\n---\nid: x\n---\n"), NotARecord::NoFrontMatter);
    assert_eq!(reason("---\nid: x\n"), NotARecord::NoFrontMatter);
    assert_eq!(reason("---\n---\n"), NotARecord::Missing { field: "id" });
    assert_eq!(reason("---\nid: x\n---\n"), NotARecord::Bad { field: "id", value: "x".into() });
    assert_eq!(reason(&by_hand("", "")), NotARecord::Missing { field: "title" });
    assert_eq!(reason("---\nid: a\0\n---\n"), NotARecord::Nul { at: 9 });
    assert_eq!(parse(b"---\n\xff"), Err(NotARecord::NotUtf8 { at: 4 }));
    assert_eq!(parse(&vec![b' '; PAGE_BYTES_MAX + 1]), Err(NotARecord::TooLong { bytes: PAGE_BYTES_MAX + 1 }));
    for yaml in ["- a\n", "text\n", "title: [a]\n", "title: a: b\n", "\"\n", "{\n", "*x\n", "%\n"] {
        assert!(matches!(reason(&by_hand(yaml, "")), NotARecord::Yaml { .. }), "{yaml:?}");
    }
}

#[test]
fn yaml_that_grows_or_nests_is_refused() {
    let deep = format!("x: {}{}\ntitle: t\n", "[".repeat(5_000), "]".repeat(5_000));
    let block: String = (0..3_000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for nth in 1..12 {
        let again = vec![format!("*a{}", nth - 1); 10].join(",");
        bomb.push_str(&format!("a{nth}: &a{nth} [{again}]\n"));
    }
    let wide = format!("x: [{}]\n", "a,".repeat(200_000));
    for yaml in [deep, block, bomb, wide] {
        let page = by_hand(&yaml, "");
        assert!(matches!(parse(page.as_bytes()), Err(NotARecord::Yaml { .. })));
        assert_eq!(id_of(page.as_bytes()), Some(id()), "it is still its owner's edit");
    }
}

#[test]
fn only_an_id_in_the_front_matter_is_the_files() {
    let page = page_of(&failure("t", "", &format!("id: {}", RecordId(Uuid::from_u128(7)))));
    assert_eq!(id_of(page.as_bytes()), Some(id()));
    for (front, wanted) in [
        (format!("id: {}", id()), true),
        (format!("\"id\": \"{}\" # ours", id()), true),
        (format!("x: 1\nid : {}", id()), true),
        (format!("x: |\n  id: {}", id()), false),
        (format!("xid: {}", id()), false),
        (format!("# id: {}", id()), false),
        (String::new(), false),
    ] {
        let page = format!("---\n{front}\nbad: yaml: here\n---\nid: {}\n", RecordId(Uuid::from_u128(7)));
        assert_eq!(id_of(page.as_bytes()), wanted.then(id), "{front}");
    }
    let mut torn = page.clone().into_bytes();
    torn.push(0);
    assert_eq!(id_of(&torn), None);
    let mut latin = page.clone().into_bytes();
    latin.push(0xe9);
    assert_eq!(id_of(&latin), Some(id()));
    let end = page.find("\n---\n").unwrap();
    assert_eq!(id_of(&page.as_bytes()[..end]), None, "front matter that does not end is torn");
}

#[test]
fn a_small_confidence_is_a_number_to_old_readers_too() {
    for (number, wanted) in [(5e-324, "5.0e-324"), (1.5e-9, "1.5e-9"), (1.0, "1.0"), (0.1 + 0.2, "0.30000000000000004")]
    {
        let Record::Heuristic(it) = heuristic("d", "r") else { panic!() };
        let record = Record::Heuristic(Heuristic { confidence: confidence(number), ..it });
        let page = page_of(&record);
        assert!(page.contains(&format!("\nconfidence: {wanted}\n")), "{page}");
        assert_eq!(record_in(&page), record);
    }
}

#[test]
fn a_log_is_its_records() {
    let log = files(id(), at(), Some("k"), &experiment("h", "", ""), false).remove(1).text;
    let parsed = parse(log.as_bytes()).unwrap();
    let wanted = Parsed {
        id: id(),
        kind: PageKind::Log,
        created_at: at(),
        revision: None,
        fields: BTreeMap::new(),
        request: None,
    };
    assert_eq!(parsed, wanted);
    assert_eq!(id_of(log.as_bytes()), Some(id()));
}
