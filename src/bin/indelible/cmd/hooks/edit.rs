//! Adds indelible's entries to the text of a settings file, or removes them. Pure.
//!
//! The text is parsed only for positions. Only bytes of indelible's entries are inserted or removed: order, white space,
//! comments and line ends of everything else stay. An entry is recognized by the flag [`MARK`] in a handler's command, in any
//! position.
//!
//! Of several fields with one name hosts take the last, as `JSON.parse` does, so entries are added there. They are removed
//! everywhere.

use indelible::hook::Host;
use jsonc_parser::ast::{Array, Object, ObjectProp, Value};
use jsonc_parser::common::Ranged as _;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use super::layout::{Json, Place, Style, in_line, removed};

/// The flag of `hook` that says who put it there.
pub const MARK: &str = "--installed";
/// The flag of `hook` that says when agents are told what was recorded.
pub const CONTEXT: &str = "--context";
/// Some editors begin a file with it.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// One entry of indelible's.
pub struct Entry {
    /// Its event.
    pub event: &'static str,
    /// The item in the event's list.
    pub value: Json,
}

/// An invalid settings file.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// It cannot be read as JSON.
    #[error("it is not JSON: {0}")]
    NotJson(String),
    /// Something in it has the wrong type.
    #[error("{0} is not {1}")]
    Shape(String, &'static str),
}

/// A new settings file of `host`.
pub fn empty(host: Host) -> &'static str {
    match host {
        Host::Cursor => "{\n  \"version\": 1\n}\n",
        _ => "{}\n",
    }
}

/// `text` with `entries`, and with no other entry of indelible's. If that is the case already, `text` is unchanged.
///
/// # Errors
/// [`Broken`].
pub fn added(text: &str, entries: Vec<Entry>) -> Result<String, Broken> {
    if has(text, &entries)? {
        return Ok(text.to_owned());
    }
    let text = cut(text)?;
    let (mark, text) = split_mark(&text);
    let with = entries.into_iter().try_fold(text.to_owned(), |text, entry| add(&text, entry))?;
    Ok(format!("{mark}{with}"))
}

/// Whether `text` has exactly `entries`, and no other entry of indelible's.
fn has(text: &str, entries: &[Entry]) -> Result<bool, Broken> {
    let others = ours(text)?.len() != entries.len();
    let text = split_mark(text).1;
    let root = parse(text)?;
    let Some(hooks) = hooks_of(&root)? else { return Ok(false) };
    let is_there = |entry: &Entry| {
        let wanted = serde_json::from_str::<serde_json::Value>(&in_line(&entry.value)).ok();
        let list = last(hooks, entry.event).and_then(|property| property.value.as_array());
        let found = list.map(|list| list.elements.as_slice()).unwrap_or_default();
        found.iter().any(|found| serde_json::from_str(found.text(text)).ok() == wanted)
    };
    Ok(!others && entries.iter().all(is_there))
}

fn add(text: &str, Entry { event, value }: Entry) -> Result<String, Broken> {
    let root = parse(text)?;
    let style = Style::of(text, &root);
    let Some(hooks) = hooks_of(&root)? else {
        let hooks = Json::Object(vec![(event, Json::List(vec![value]))]);
        return Ok(style.inserted(&Place::of_object(&root), &hooks, Some("hooks")));
    };
    match last(hooks, event).map(|property| &property.value) {
        None => Ok(style.inserted(&Place::of_object(hooks), &Json::List(vec![value]), Some(event))),
        Some(Value::Array(list)) => Ok(style.inserted(&Place::of_list(list), &value, None)),
        Some(_) => Err(Broken::Shape(format!("`hooks.{event}`"), "a list")),
    }
}

/// `text` without indelible's entries, and without lists and objects that are empty without them.
///
/// # Errors
/// [`Broken`].
pub fn cut(text: &str) -> Result<String, Broken> {
    let (mark, rest) = split_mark(text);
    let mut rest = rest.to_owned();
    while let Some(shorter) = without_first(&rest)? {
        rest = shorter;
    }
    Ok(format!("{mark}{rest}"))
}

fn without_first(text: &str) -> Result<Option<String>, Broken> {
    let root = parse(text)?;
    Ok(first_of_ours(&root)?.map(|(place, child)| removed(text, &place, child)))
}

/// The events for which `text` has entries of indelible's, in any position, each with the program that it calls.
///
/// # Errors
/// [`Broken`].
pub fn ours(text: &str) -> Result<Vec<(String, String)>, Broken> {
    let root = parse(split_mark(text).1)?;
    let _ = hooks_of(&root)?;
    Ok(all_hooks(&root).flat_map(|(_, hooks)| hooks.properties.iter().flat_map(ours_of)).collect())
}

/// Whether `text` has a server that `mcp install` put there. A host can have hooks and servers in one file.
pub fn has_server(text: &str) -> bool {
    let of = |section: &str| {
        let root = parse(split_mark(text).1).ok()?;
        let entry =
            last(&root, section)?.value.as_object()?.get_object("indelible")?.text(split_mark(text).1).to_owned();
        Some(entry.contains("\"--installed\""))
    };
    ["mcpServers", "mcp"].into_iter().any(|section| of(section) == Some(true))
}

/// Whether `text` has nothing of indelible's.
fn is_free(text: &str) -> bool {
    ours(text).is_ok_and(|ours| ours.is_empty()) && !has_server(text)
}

/// What has to be in the place of settings whose text is `left`, if nothing of indelible's is in them and nothing else has changed since its
/// first entry: the one of the `copies` that has nothing of indelible's, or no file. `None` if `left` has to stay. A new file of the host
/// would be `empty`.
pub fn original(left: &str, copies: &[Option<String>], empty: &str) -> Option<Option<String>> {
    let original = copies.iter().flatten().find(|copy| is_free(copy));
    (is_free(left) && is_alike(left, original.map_or(empty, String::as_str))).then(|| original.cloned())
}

/// Whether two settings differ in white space alone.
fn is_alike(one: &str, other: &str) -> bool {
    one.split_whitespace().flat_map(str::chars).eq(other.split_whitespace().flat_map(str::chars))
}

/// When agents are told what was recorded, as the first entry of indelible's in `text` says; `None` without an entry.
///
/// # Errors
/// [`Broken`].
pub fn context(text: &str) -> Result<Option<Vec<String>>, Broken> {
    let root = parse(split_mark(text).1)?;
    let _ = hooks_of(&root)?;
    let lists = all_hooks(&root).flat_map(|(_, hooks)| &hooks.properties).filter_map(|it| it.value.as_array());
    let entries = lists.flat_map(|list| &list.elements);
    let mut handlers =
        entries.flat_map(|entry| handlers(entry).map_or(std::slice::from_ref(entry), |group| &group.elements));
    let Some(handler) = handlers.find(|handler| is_ours(handler)) else { return Ok(None) };
    let words = words(handler);
    let value = words.iter().position(|word| word == CONTEXT).and_then(|at| words.get(at + 1));
    let names = value.map(|value| value.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect());
    Ok(Some(names.unwrap_or_default()))
}

/// As [`ours`], but only entries that the host sees.
///
/// # Errors
/// [`Broken`].
pub fn seen(text: &str) -> Result<Vec<(String, String)>, Broken> {
    let root = parse(split_mark(text).1)?;
    let Some(hooks) = hooks_of(&root)? else { return Ok(Vec::new()) };
    let is_last = |property: &&ObjectProp<'_>| {
        last(hooks, property.name.as_str()).is_some_and(|last| last.range.start == property.range.start)
    };
    Ok(hooks.properties.iter().filter(is_last).flat_map(ours_of).collect())
}

/// Indelible's entries for one event.
fn ours_of(property: &ObjectProp<'_>) -> Vec<(String, String)> {
    let Value::Array(list) = &property.value else { return Vec::new() };
    let inner = list.elements.iter().filter_map(handlers).flat_map(|handlers| &handlers.elements);
    let found = inner.chain(&list.elements).filter(|handler| is_ours(handler));
    found.map(|handler| (property.name.as_str().to_owned(), program(handler))).collect()
}

/// Whether the settings disable every hook.
pub fn switches_off(text: &str) -> bool {
    let is_true = |value: &Value<'_>| matches!(value, Value::BooleanLit(it) if it.value);
    parse(split_mark(text).1)
        .is_ok_and(|root| last(&root, "disableAllHooks").is_some_and(|property| is_true(&property.value)))
}

/// The indelible plugin that the settings enable, as `NAME@MARKETPLACE`.
pub fn plugin(text: &str) -> Option<String> {
    let root = parse(split_mark(text).1).ok()?;
    let plugins = root.get_object("enabledPlugins")?;
    let enabled = |value: &Value<'_>| matches!(value, Value::BooleanLit(it) if it.value);
    let found = plugins.properties.iter().find(|it| is_our_plugin(it.name.as_str()) && enabled(&it.value))?;
    Some(found.name.as_str().to_owned())
}

/// Whether `name`, perhaps with a marketplace, is that of indelible's plugin.
pub fn is_our_plugin(name: &str) -> bool {
    name == "indelible" || name.starts_with("indelible@")
}

/// `text` in two parts, the first one a byte order mark or nothing.
pub fn split_mark(text: &str) -> (&str, &str) {
    text.split_at(if text.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 })
}

/// Parses `text`, which may have comments and surplus commas.
///
/// # Errors
/// [`Broken`].
pub fn parse(text: &str) -> Result<Object<'_>, Broken> {
    let options = ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    let parsed = parse_to_ast(text, &CollectOptions::default(), &options);
    match parsed.map_err(|error| Broken::NotJson(error.to_string()))?.value {
        Some(Value::Object(root)) => Ok(root),
        _ => Err(Broken::Shape("the file".into(), "an object")),
    }
}

fn hooks_of<'r, 't>(root: &'r Object<'t>) -> Result<Option<&'r Object<'t>>, Broken> {
    match last(root, "hooks").map(|property| &property.value) {
        None => Ok(None),
        Some(Value::Object(hooks)) => Ok(Some(hooks)),
        Some(_) => Err(Broken::Shape("`hooks`".into(), "an object")),
    }
}

/// The field `name` that a host takes.
pub fn last<'r, 't>(object: &'r Object<'t>, name: &str) -> Option<&'r ObjectProp<'t>> {
    object.properties.iter().rev().find(|property| property.name.as_str() == name)
}

/// Whether `object` has several fields `name`: without the last of them a host would take another.
pub fn is_doubled(object: &Object<'_>, name: &str) -> bool {
    object.properties.iter().filter(|property| property.name.as_str() == name).count() > 1
}

/// Every object `hooks` with its position in the root, including those that hosts ignore.
fn all_hooks<'r, 't>(root: &'r Object<'t>) -> impl Iterator<Item = (usize, &'r Object<'t>)> {
    let named = root.properties.iter().enumerate().filter(|(_, property)| property.name.as_str() == "hooks");
    named.filter_map(|(at, property)| property.value.as_object().map(|hooks| (at, hooks)))
}

/// The handlers of an entry that is a group of them.
fn handlers<'r, 't>(entry: &'r Value<'t>) -> Option<&'r Array<'t>> {
    let Value::Object(entry) = entry else { return None };
    entry.get_array("hooks")
}

/// The first part to remove, as a child of its parent: a handler, or everything that would be empty without it.
fn first_of_ours(root: &Object<'_>) -> Result<Option<(Place, usize)>, Broken> {
    let _ = hooks_of(root)?;
    Ok(all_hooks(root).find_map(|(at, hooks)| first_in(root, at, hooks)))
}

/// As [`first_of_ours`], in `hooks`, the field number `at` of the root.
fn first_in(root: &Object<'_>, at: usize, hooks: &Object<'_>) -> Option<(Place, usize)> {
    for (event, property) in hooks.properties.iter().enumerate() {
        let Value::Array(list) = &property.value else { continue };
        let is_doubled_event = is_doubled(hooks, property.name.as_str());
        for (entry, value) in list.elements.iter().enumerate() {
            let group = handlers(value).and_then(|group| Some((group, group.elements.iter().position(is_ours)?)));
            return Some(match group {
                Some((group, handler)) if group.elements.len() > 1 => (Place::of_list(group), handler),
                None if !is_ours(value) => continue,
                _ if list.elements.len() > 1 || is_doubled_event => (Place::of_list(list), entry),
                _ if hooks.properties.len() > 1 || is_doubled(root, "hooks") => (Place::of_object(hooks), event),
                _ => (Place::of_object(root), at),
            });
        }
    }
    None
}

fn is_ours(handler: &Value<'_>) -> bool {
    let words = words(handler);
    words.iter().any(|word| word == "hook") && words.iter().any(|word| word == MARK)
}

/// What a handler runs, word by word.
fn words(handler: &Value<'_>) -> Vec<String> {
    let Value::Object(handler) = handler else { return Vec::new() };
    let command = handler.get_string("command").map(|text| text.value.to_string()).unwrap_or_default();
    match handler.get_array("args") {
        Some(args) => {
            let args = args.elements.iter().filter_map(|arg| arg.as_string_lit().map(|text| text.value.to_string()));
            [command].into_iter().chain(args).collect()
        }
        // One line for a shell.
        None => command.split(' ').map(str::to_owned).collect(),
    }
}

fn program(handler: &Value<'_>) -> String {
    let words = words(handler);
    let at = words.iter().position(|word| word == "hook" || word == "--home").unwrap_or(0);
    words[..at].join(" ").trim_matches('\'').replace("'\\''", "'")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<Entry> {
        let args = ["hook", "--host", "claude", MARK].map(|word| Json::Text(word.into())).to_vec();
        let handler = Json::Object(vec![("command", Json::Text("/bin/indelible".into())), ("args", Json::List(args))]);
        let entry = |event| Entry { event, value: Json::Object(vec![("hooks", Json::List(vec![handler.clone()]))]) };
        vec![entry("Stop"), entry("PostToolUse")]
    }

    /// Settings as people have them.
    const FILES: [&str; 15] = [
        "{}\n",
        "{\n  \"model\": \"x\"\n}\n",
        "{\n  // mine\n  \"z\": 1, /* odd */ \"a\": [1,2 ,3],\n\n  \"hooks\": {\n    // foreign\n    \"Stop\": [\n      {\"hooks\": [{\"command\": \"hi\"}]} // end, not last\n    ],\n    \"Other\": []\n  }\n}",
        "{\r\n\t\"model\": \"x\",\r\n\t\"hooks\": {\r\n\t\t\"Stop\": [\r\n\t\t\t{ \"matcher\": \"\", \"hooks\": [ { \"command\": \"x\" } ] }\r\n\t\t]\r\n\t}\r\n}\r\n",
        "\u{feff}{\"a\":1}",
        "{\"hooks\":{\"PostToolUse\":[{\"matcher\":\"Bash\",\"hooks\":[{\"command\":\"x\"}]}]},\"b\":2}",
        "{\n    \"a\": {\n        \"b\": 1,\n    },\n    \"hooks\": {\n        \"Stop\": [\n            { \"hooks\": [] },\n        ],\n    },\n}\n",
        "// a header\n{\n  \"a\": \"\\u00e4 \\/ \\\"hooks\\\"\"\n}\n// a footer\n",
        "{\n  \"hooks\": {\n    \"Notification\": [{ \"hooks\": [{ \"command\": \"indelible hook --host claude\" }] }]\n  }\n}\n",
        "{\n  \"a\": 1 // last, with a comma behind\n}\n",
        "{\n  \"a\": 1, // last, with a comma\n}\n",
        "{ \"a\": 1 }\n",
        "{\n  \"hooks\": {\n    \"Stop\": [\n      { \"hooks\": [{ \"command\": \"a\" }] },\n      { \"hooks\": [{ \"command\": \"b\" }] } /* , */\n    ]\n  },\n  \"zz\": null\n}\n",
        "{\n  \"hooks\": {\n    \"Stop\": [{ \"hooks\": [{ \"command\": \"a\" }] }]\n  },\n  \"b\": 1,\n  \"hooks\": {\n    \"Other\": []\n  }\n}\n",
        "{\"hooks\": {\"Stop\": [1], \"x\": 1, \"Stop\": [{\"hooks\": [{\"command\": \"a\"}]}]}}",
    ];

    #[test]
    fn of_fields_with_one_name_the_last_counts() {
        let doubled = ["{\"hooks\": {\"Stop\": []}, \"hooks\": {}}", "{\"hooks\": {\"Stop\": [1], \"Stop\": []}}"];
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text.trim_start_matches(BYTE_ORDER_MARK));
        for text in FILES.into_iter().chain(doubled) {
            let with = added(text, entries()).expect("it is JSON");
            // With comments it is no JSON for a host that reads it as `JSON.parse` does.
            let (Ok(before), Ok(found)) = (read(text), read(&with)) else { continue };
            assert!(found["hooks"]["Stop"].to_string().contains(MARK), "{with}");
            assert!(found["hooks"]["PostToolUse"].to_string().contains(MARK), "{with}");
            assert_eq!(seen(&with).expect("it still is").len(), 2, "{with}");
            let left = cut(&with).expect("it still is");
            let after = read(&left).expect("it still is");
            let of_hooks = |json: &serde_json::Value| json["hooks"]["Stop"].as_array().map_or(0, Vec::len);
            assert_eq!(of_hooks(&after), of_hooks(&before), "what a host saw before it sees again: {left}");
        }
        // Where an older version put them, no host looks.
        let entry = "{\"hooks\": [{\"command\": \"/x hook --installed\"}]}";
        let shadowed = format!("{{\"hooks\": {{\"Stop\": [{entry}]}}, \"hooks\": {{\"Other\": []}}}}");
        assert_eq!((ours(&shadowed).expect("JSON").len(), seen(&shadowed).expect("JSON").len()), (1, 0));
        let with = added(&shadowed, entries()).expect("it is JSON");
        assert_eq!((ours(&with).expect("JSON").len(), seen(&with).expect("JSON").len()), (2, 2), "{with}");
    }

    #[test]
    fn what_was_added_is_found_and_cut_again() {
        for text in FILES {
            let with = added(text, entries()).expect("it is JSON");
            let found = ours(&with).unwrap_or_else(|error| panic!("{error}:\n{with}"));
            for event in ["Stop", "PostToolUse"] {
                assert!(found.contains(&(event.into(), "/bin/indelible".into())), "{found:?} in\n{with}");
            }
            assert_eq!(found.len(), 2, "in\n{with}");
            assert_eq!(cut(&with).expect("it still is"), text, "from\n{with}");
            assert_eq!(added(&with, entries()).expect("it still is"), with, "a second time changes nothing");
        }
    }

    #[test]
    fn everything_else_keeps_its_bytes() {
        for text in FILES {
            let with = added(text, entries()).expect("it is JSON");
            let mut left = with.chars();
            for c in text.chars() {
                assert!(left.any(|found| found == c), "{c:?} is gone, or out of order, in\n{with}");
            }
        }
    }

    #[test]
    fn what_is_added_looks_like_what_is_there() {
        let with = added("{\r\n\t\"a\": 1\r\n}\r\n", entries()).expect("it is JSON");
        let line = "\r\n\t\"hooks\": {\r\n\t\t\"Stop\": [\r\n\t\t\t{\r\n\t\t\t\t\"hooks\": [";
        assert!(with.contains(line) && !with.replace("\r\n", "").contains('\n'), "{with:?}");
        let with = added("{\"a\":1}", entries()).expect("it is JSON");
        let line = "{\"a\":1, \"hooks\": { \"Stop\": [{ \"hooks\": [{";
        assert!(with.starts_with(line) && !with.contains('\n'), "{with}");
    }

    #[test]
    fn what_a_user_put_beside_ours_stays() {
        let with = added("{}", entries()).expect("it is JSON");
        let theirs = with.replace("\"hooks\": [", "\"hooks\": [{\"command\": \"mine\"}, ");
        let left = cut(&theirs).expect("it is JSON");
        assert_eq!(left.matches("mine").count(), 2, "{left}");
        assert!(!left.contains(MARK), "{left}");
    }

    #[test]
    fn what_is_no_settings_file_is_refused() {
        let bad = ["", "[]", "{", "{'a': 1}", "{a: 1}", "{\"a\": 1 \"b\": 2}", "{\"hooks\": []}", "null", "{} {}"];
        for text in bad.into_iter().chain(["{\"hooks\": {\"Stop\": {}}}"]) {
            assert!(added(text, entries()).is_err(), "{text:?}");
        }
    }
}
