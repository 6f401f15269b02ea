//! Indelible's entry in a settings file of JSON. As in `hooks::edit`, the text is parsed for positions alone, and every other
//! byte stays. Pure.

use jsonc_parser::ast::{Object, Value};

use super::{Entry, MARK, NAME, Problem};
use crate::cmd::hooks::edit::{Broken, is_doubled, last, parse, split_mark};
use crate::cmd::hooks::layout::{Json, Place, Style, removed};

/// How a host writes its servers.
pub struct Shape {
    /// The field of the root that has them.
    section: &'static str,
    /// The value of the entry's field `type`.
    kind: Option<&'static str>,
    /// Whether program and arguments are one list.
    is_list: bool,
}

/// `mcpServers`, with a program and its arguments.
pub const COMMON: Shape = Shape { section: "mcpServers", kind: None, is_list: false };
/// The same, and the transport's name.
pub const CLAUDE: Shape = Shape { section: "mcpServers", kind: Some("stdio"), is_list: false };
/// `mcp`, with one list.
pub const OPEN_CODE: Shape = Shape { section: "mcp", kind: Some("local"), is_list: true };

/// The entry in `text` that the host sees.
pub fn found(text: &str, shape: &Shape) -> Result<Option<Entry>, Problem> {
    let root = parse(split_mark(text).1)?;
    let Some(section) = section_of(&root, shape)? else { return Ok(None) };
    Ok(last(section, NAME).map(|property| entry(&property.value)))
}

/// `text`, which has no entry of indelible's, with one that runs `words`.
pub fn added(text: &str, shape: &Shape, words: &[String]) -> Result<String, Problem> {
    let (mark, text) = split_mark(text);
    let root = parse(text)?;
    let style = Style::of(text, &root);
    let entry = written(shape, words);
    let with = match section_of(&root, shape)? {
        Some(section) => style.inserted(&Place::of_object(section), &entry, Some(NAME)),
        None => {
            let section = Json::Object(vec![(NAME, entry)]);
            style.inserted(&Place::of_object(&root), &section, Some(shape.section))
        }
    };
    Ok(format!("{mark}{with}"))
}

/// `text` without indelible's entries, and without a section that is empty without them.
pub fn cut(text: &str, shape: &Shape) -> Result<String, Problem> {
    let (mark, rest) = split_mark(text);
    let mut rest = rest.to_owned();
    while let Some(shorter) = without_one(&rest, shape)? {
        rest = shorter;
    }
    Ok(format!("{mark}{rest}"))
}

fn without_one(text: &str, shape: &Shape) -> Result<Option<String>, Problem> {
    let root = parse(text)?;
    let Some(section) = section_of(&root, shape)? else { return Ok(None) };
    let is_ours = |at: &usize| {
        let property = &section.properties[*at];
        property.name.as_str() == NAME && entry(&property.value).is_ours()
    };
    let Some(at) = (0..section.properties.len()).find(is_ours) else { return Ok(None) };
    let in_root = root.properties.iter().rposition(|property| property.name.as_str() == shape.section);
    Ok(Some(match in_root {
        Some(in_root) if section.properties.len() == 1 && !is_doubled(&root, shape.section) => {
            removed(text, &Place::of_object(&root), in_root)
        }
        _ => removed(text, &Place::of_object(section), at),
    }))
}

fn section_of<'r, 't>(root: &'r Object<'t>, shape: &Shape) -> Result<Option<&'r Object<'t>>, Problem> {
    match last(root, shape.section).map(|property| &property.value) {
        None => Ok(None),
        Some(Value::Object(section)) => Ok(Some(section)),
        Some(_) => Err(Broken::Shape(format!("`{}`", shape.section), "an object").into()),
    }
}

fn entry(value: &Value<'_>) -> Entry {
    let Value::Object(object) = value else { return Entry { words: Vec::new(), is_off: false } };
    let texts = |name: &str| -> Vec<String> {
        let list = object.get_array(name).map(|list| list.elements.as_slice()).unwrap_or_default();
        list.iter().filter_map(|it| it.as_string_lit()).map(|text| text.value.to_string()).collect()
    };
    let command = object.get_string("command").map(|text| text.value.to_string());
    let is = |name: &str| object.get_boolean(name).map(|it| it.value);
    Entry {
        words: command.into_iter().chain(texts("command")).chain(texts("args")).collect(),
        is_off: is("enabled") == Some(false) || is("disabled") == Some(true),
    }
}

fn written(shape: &Shape, words: &[String]) -> Json {
    debug_assert!(words.iter().any(|word| word == MARK));
    let texts = |words: &[String]| Json::List(words.iter().map(|word| Json::Text(word.clone())).collect());
    let mut fields: Vec<(&'static str, Json)> = Vec::new();
    fields.extend(shape.kind.map(|kind| ("type", Json::Text(kind.into()))));
    match (shape.is_list, words.split_first()) {
        (false, Some((program, args))) => {
            fields.push(("command", Json::Text(program.clone())));
            fields.push(("args", texts(args)));
        }
        _ => fields.push(("command", texts(words))),
    }
    Json::Object(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> Vec<String> {
        ["/b/indelible", "mcp", MARK].map(str::to_owned).to_vec()
    }

    #[test]
    fn what_was_added_is_found_and_cut_again() {
        for text in [
            "{}\n",
            "{\n  \"a\": 1\n}\n",
            "{\r\n\t\"mcpServers\": {\r\n\t\t\"x\": { \"command\": \"x\", \"env\": { \"KEY\": \"k\" } }\r\n\t}\r\n}\r\n",
            "\u{feff}{\"a\":1}",
            "// a\n{\n  \"mcpServers\": {\n    // theirs\n    \"x\": {}, // b\n  },\n}\n",
            "{\"mcpServers\":{\"x\":{}},\"mcp\":{\"y\":{\"command\":[\"y\"]}},\"z\":[1]}",
        ] {
            for shape in [&COMMON, &CLAUDE, &OPEN_CODE] {
                let with = added(text, shape, &words()).expect("it is JSON");
                let entry = found(&with, shape).expect("it still is").expect("it is there");
                assert!(entry.is_ours() && entry.words == words(), "{with}");
                let left = cut(&with, shape).expect("it still is");
                let plain = |text: &str| text.split_whitespace().collect::<String>();
                assert_eq!(plain(&left), plain(text), "by way of {with}");
            }
        }
    }

    #[test]
    fn another_programs_entry_stays() {
        let text = "{\"mcpServers\": {\"indelible\": {\"command\": \"indelible\", \"args\": [\"mcp\"]}}}";
        assert!(!found(text, &COMMON).expect("JSON").expect("an entry").is_ours());
        assert_eq!(cut(text, &COMMON).expect("JSON"), text);
        assert!(found("{\"mcpServers\": []}", &COMMON).is_err());
        let off = "{\"mcp\": {\"indelible\": {\"command\": [\"x\"], \"enabled\": false}}}";
        assert!(found(off, &OPEN_CODE).expect("JSON").expect("an entry").is_off);
    }
}
