//! Reads events that are not strict JSON, as far as possible. Pure.
//!
//! Some hosts build JSON by hand, cut it, or pass a tool's bytes through. One invalid byte would lose the whole event. The
//! strict parser runs first, so a valid event never gets here. Then:
//!
//! | input | read as |
//! | --- | --- |
//! | a byte order mark, UTF-16 with or without one | the text behind it |
//! | invalid UTF-8, half of a surrogate pair | U+FFFD |
//! | control characters and NUL in a string | themselves; elsewhere whitespace |
//! | an unknown escape, such as `\U` in a Windows path | the backslash and the character |
//! | a quote within a string, not escaped | a quote, if no comma, colon or bracket follows |
//! | `NaN`, `Infinity`, numbers that no double can hold, nesting deeper than `DEPTH_MAX` | null |
//! | too many commas or too few, single quotes, names without quotes, `True`, `None` | what they mean |
//! | text around an object, a list of objects, several objects, an object within a JSON string | the objects |
//! | the end is missing | the fields up to there, the last one cut |

use serde_json::{Map, Number, Value};

/// Values nested deeper are read as null. It is less than the limit of `serde_json`, and fits any stack.
const DEPTH_MAX: usize = 100;
/// The most objects that are read from one input.
const OBJECTS_MAX: usize = 64;

/// The objects of an input.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// The objects that are not empty, in order.
    pub objects: Vec<Value>,
    /// Whether the last of them is complete.
    pub is_whole: bool,
}

/// The objects in `bytes`.
pub fn read(bytes: &[u8]) -> Found {
    let text = decoded(bytes);
    let text = text.trim_start_matches(|c: char| c <= ' ' || c == '\u{feff}');
    let mut parser = Parser { text: text.as_bytes(), at: 0, is_cut: false };
    if text.starts_with('"') {
        // Encoded twice.
        let inner = parser.string(b'"');
        if inner.contains('{') {
            parser = Parser { text: inner.as_bytes(), at: 0, is_cut: false };
            return parser.objects();
        }
        parser.at = 0;
    }
    parser.objects()
}

/// `bytes` as text: UTF-16 if they look like it, otherwise UTF-8.
fn decoded(bytes: &[u8]) -> String {
    let wide = |pair: fn([u8; 2]) -> u16| {
        let units = bytes.chunks_exact(2).map(|bytes| pair([bytes[0], bytes[1]]));
        char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    };
    match bytes {
        [0xff, 0xfe, ..] | [b'{' | b'[' | b'"', 0, _, 0, ..] => wide(u16::from_le_bytes),
        [0xfe, 0xff, ..] | [0, b'{' | b'[' | b'"', 0, _, ..] => wide(u16::from_be_bytes),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// `text` is UTF-8, and `at` always between two characters.
struct Parser<'t> {
    text: &'t [u8],
    at: usize,
    /// The input ended within a value.
    is_cut: bool,
}

impl Parser<'_> {
    fn objects(mut self) -> Found {
        let mut found = Found::default();
        while found.objects.len() < OBJECTS_MAX
            && let Some(begin) = self.text[self.at..].iter().position(|byte| *byte == b'{')
        {
            self.at += begin + 1;
            let object = self.object(1);
            if object.as_object().is_some_and(|fields| !fields.is_empty()) {
                found.objects.push(object);
                found.is_whole = !self.is_cut;
            }
        }
        found
    }

    /// The next byte that is not white space. Control characters and NUL count as white space.
    fn peek(&mut self) -> Option<u8> {
        while self.text.get(self.at).is_some_and(|byte| *byte <= b' ') {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    /// A value, at `depth`. An invalid value is null, and at least one byte of it is skipped.
    fn value(&mut self, depth: usize) -> Value {
        match self.peek() {
            Some(b'{' | b'[') if depth > DEPTH_MAX => self.skipped(),
            Some(b'{') => {
                self.at += 1;
                self.object(depth)
            }
            Some(b'[') => {
                self.at += 1;
                self.list(depth)
            }
            Some(quote @ (b'"' | b'\'')) => Value::String(self.string(quote)),
            Some(_) => self.bare(),
            None => {
                self.is_cut = true;
                Value::Null
            }
        }
    }

    /// The rest of an object.
    fn object(&mut self, depth: usize) -> Value {
        let mut fields = Map::new();
        loop {
            let name = match self.peek() {
                Some(b'}') => {
                    self.at += 1;
                    break;
                }
                Some(b',' | b':' | b']' | b'{' | b'[') => {
                    self.at += 1;
                    continue;
                }
                Some(quote @ (b'"' | b'\'')) => self.string(quote),
                Some(_) => self.word(),
                None => {
                    self.is_cut = true;
                    break;
                }
            };
            if self.peek() == Some(b':') {
                self.at += 1;
                let before = self.is_cut;
                let value = self.value(depth + 1);
                // The value was cut before its first byte.
                if before || !self.is_cut || !value.is_null() {
                    fields.insert(name, value);
                }
            }
        }
        Value::Object(fields)
    }

    /// The rest of a list. A `}` also ends it, and is left for the object around it.
    fn list(&mut self, depth: usize) -> Value {
        let mut items = Vec::new();
        loop {
            match self.peek() {
                Some(b']') => {
                    self.at += 1;
                    break;
                }
                Some(b'}') => break,
                Some(b',' | b':') => self.at += 1,
                Some(_) => items.push(self.value(depth + 1)),
                None => {
                    self.is_cut = true;
                    break;
                }
            }
        }
        Value::Array(items)
    }

    /// Null, for an object or a list that is nested too deeply. Strings in it may have brackets.
    fn skipped(&mut self) -> Value {
        let mut open = 0_usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    self.string(b'"');
                    continue;
                }
                b'{' | b'[' => open += 1,
                b'}' | b']' => open -= 1,
                _ => {}
            }
            self.at += 1;
            if open == 0 {
                return Value::Null;
            }
        }
        self.is_cut = true;
        Value::Null
    }

    /// A string behind its first quote `quote`.
    fn string(&mut self, quote: u8) -> String {
        let mut out = Vec::new();
        self.at += 1;
        loop {
            match self.text.get(self.at).copied() {
                None => {
                    self.is_cut = true;
                    break;
                }
                Some(byte) if byte == quote => {
                    self.at += 1;
                    if self.ends_here() {
                        break;
                    }
                    out.push(byte);
                }
                Some(b'\\') => {
                    self.at += 1;
                    self.escape(&mut out);
                }
                Some(byte) => {
                    self.at += 1;
                    out.push(byte);
                }
            }
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    /// Whether the quote before `at` ends its string, judged by the next character.
    fn ends_here(&self) -> bool {
        let next = self.text[self.at..].iter().find(|byte| **byte > b' ');
        next.is_none_or(|next| b",:}]\"'{[".contains(next))
    }

    fn escape(&mut self, out: &mut Vec<u8>) {
        let Some(byte) = self.text.get(self.at).copied() else { return };
        if byte == b'u'
            && let Some(unit) = self.unit(self.at + 1)
        {
            self.at += 5;
            let c = match unit {
                0xd800..=0xdbff => {
                    let low = if self.text[self.at..].starts_with(b"\\u") { self.unit(self.at + 2) } else { None };
                    let pair = low.and_then(|low| char::decode_utf16([unit, low]).next()?.ok());
                    self.at += if pair.is_some() { 6 } else { 0 };
                    pair
                }
                unit => char::from_u32(unit.into()),
            };
            let c = c.unwrap_or(char::REPLACEMENT_CHARACTER);
            return out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        self.at += 1;
        match byte {
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'r' => out.push(b'\r'),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'"' | b'\'' | b'\\' | b'/' => out.push(byte),
            _ => out.extend([b'\\', byte]),
        }
    }

    /// The four hexadecimal digits at `at`.
    fn unit(&self, at: usize) -> Option<u16> {
        let digits = self.text.get(at..at + 4).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    }

    /// A word without quotes.
    fn word(&mut self) -> String {
        let rest = &self.text[self.at..];
        let end = rest.iter().position(|byte| *byte <= b' ' || b",:{}[]\"'".contains(byte)).unwrap_or(rest.len());
        // At least one byte, so that parsing ends; only ASCII signs get here.
        let end = end.max(1);
        self.at += end;
        String::from_utf8_lossy(&rest[..end]).into_owned()
    }

    fn bare(&mut self) -> Value {
        let word = self.word();
        match word.as_str() {
            "true" | "True" => Value::Bool(true),
            "false" | "False" => Value::Bool(false),
            _ if word.starts_with(|c: char| c.is_ascii_digit() || c == '-') => {
                word.parse::<Number>().map_or(Value::Null, Value::Number)
            }
            _ => Value::Null,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn one(bytes: impl AsRef<[u8]>) -> Value {
        let found = read(bytes.as_ref());
        assert_eq!(found.objects.len(), 1, "{found:?}");
        found.objects.into_iter().next().expect("there is one")
    }

    fn utf16(text: &str, mark: &[u8], bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        [mark.to_vec(), text.encode_utf16().flat_map(bytes).collect()].concat()
    }

    #[test]
    fn every_kind_of_damage_leaves_the_fields() {
        let plain = r#"{"hook_event_name": "Stop", "a": "ä", "n": [1, {"b": true}]}"#;
        let expected = json!({"hook_event_name": "Stop", "a": "ä", "n": [1, {"b": true}]});
        let same = [
            format!("\u{feff}{plain}").into_bytes(),
            utf16(plain, b"\xff\xfe", u16::to_le_bytes),
            utf16(plain, b"\xfe\xff", u16::to_be_bytes),
            utf16(plain, b"", u16::to_le_bytes),
            utf16(plain, b"", u16::to_be_bytes),
            format!("\0{plain}\0\0").into_bytes(),
            format!("{plain} trailing }}]").into_bytes(),
            format!("warning: nothing {{}}\n{plain}").into_bytes(),
            format!("[{plain}]").into_bytes(),
            serde_json::to_vec(plain).expect("text is JSON"),
            plain.replace("]}", ",],}").into_bytes(),
            plain.replace(", ", "\r\n").into_bytes(),
            plain.replace('"', "'").replace("true", "True").into_bytes(),
            plain.replace("\"a\"", "a").into_bytes(),
            plain.replace("}]}", "}}").into_bytes(),
        ];
        for bytes in same {
            assert_eq!(one(&bytes), expected, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_string_keeps_what_can_be_kept() {
        for (text, expected) in [
            (&b"boom \\ud83d"[..], "boom \u{fffd}"),
            (b"\\ude00 x", "\u{fffd} x"),
            (b"\\ud83dx\\ude00", "\u{fffd}x\u{fffd}"),
            (b"\\ud83d\\ud83d\\ude00", "\u{fffd}😀"),
            (b"\\ud83d\\ude00", "😀"),
            (b"\xff\xfe", "\u{fffd}\u{fffd}"),
            (b"a\x00b\x1b[0m\nc", "a\0b\u{1b}[0m\nc"),
            (b"C:\\Users\\x", "C:\\Users\\x"),
            (b"\\u12 \\uzzzz", "\\u12 \\uzzzz"),
            (b"say \"hi\" there", "say \"hi\" there"),
            (b"\\n\\t\\/\\\\\\\"", "\n\t/\\\""),
        ] {
            let bytes = [b"{\"error\": \"", text, b"\", \"b\": 1}"].concat();
            assert_eq!(one(&bytes), json!({"error": expected, "b": 1}), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn numbers_that_are_none_are_null() {
        for number in ["NaN", "-Infinity", "1e999", "undefined", "None", "0x1g"] {
            assert_eq!(one(format!("{{\"a\": {number}, \"b\": 2}}")), json!({"a": null, "b": 2}), "{number}");
        }
    }

    #[test]
    fn several_objects_are_several() {
        let found = read(b"{\"a\":1}\n{\"b\":2}{}\n{\"c\":");
        assert_eq!(found.objects, [json!({"a": 1}), json!({"b": 2})]);
        assert!(found.is_whole, "of the last one nothing is known");
        assert!(read(&b"{\"a\":1}".repeat(1000)).objects.len() <= OBJECTS_MAX);
    }

    #[test]
    fn nesting_has_an_end() {
        let deep = format!("{{\"a\": {}1{}, \"b\": 2}}", "[{\"x\":".repeat(100_000), "}]".repeat(100_000));
        assert_eq!(one(deep)["b"], 2);
        assert!(one([b"{\"z\": 1, \"a\":".to_vec(), b"{\"a\":".repeat(200_000)].concat())["z"] == 1);
    }

    proptest::proptest! {
        #[test]
        fn what_is_cut_leaves_what_stood_before(cut in 0..74_usize) {
            let whole = r#"{"hook_event_name": "Stop", "a": "bcd", "e": [1, "ö", {"f": null}], "g":7}"#;
            let found = read(&whole.as_bytes()[..cut]);
            proptest::prop_assert!(!found.is_whole || found.objects.is_empty());
            if cut > 27 {
                proptest::prop_assert_eq!(&found.objects[0]["hook_event_name"], "Stop");
            }
            if cut > 40 {
                proptest::prop_assert_eq!(&found.objects[0]["a"], "bcd");
            }
        }

        #[test]
        fn any_bytes_can_be_read(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }

        #[test]
        fn anything_like_json_can_be_read(text in "([{}\\[\\]:,\"'\\\\u0dä \n]|true|\"a\"){0,80}") {
            let _ = read(text.as_bytes());
        }

        #[test]
        fn strict_json_is_what_it_is(names in proptest::collection::vec("\\PC{1,8}", 1..6), text in "(\\PC|\"|\\\\|\n){0,30}") {
            let fields: Map<String, Value> = names.into_iter().map(|name| (name, json!([text, {"n": -1.5}]))).collect();
            let value = Value::Object(fields);
            proptest::prop_assert_eq!(read(value.to_string().as_bytes()).objects, [value]);
        }
    }
}
