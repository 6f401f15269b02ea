//! A lenient shell lexer: which programs a text calls, with which words. Pure. The text is never run, so what a shell would
//! refuse is parsed as far as possible.
//!
//! Quotes are removed. Variables and substitutions become [`EXPANSION`]. A quote that is never closed is an ordinary
//! character, as in a text with an apostrophe.

use std::ops::Range;

/// The placeholder in a word for a variable or a substitution.
pub(crate) const EXPANSION: char = '\0';

/// A word of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// Its range in the text, quotes included.
    pub(crate) range: Range<usize>,
    /// Its text, without quotes.
    pub(crate) text: String,
    /// The ranges of its quoted parts and substitutions, without their delimiters: they may contain calls.
    pub(crate) inner: Vec<Range<usize>>,
}

/// A call of one program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Call {
    /// Its name and its arguments, with assignments and the shell's own words before them.
    pub(crate) words: Vec<Word>,
    /// Whether its output is the input of the next call.
    pub(crate) is_piped: bool,
    /// The ranges of its here-documents and here-strings.
    pub(crate) inputs: Vec<Range<usize>>,
    /// The ranges of the names of the files that it reads from.
    pub(crate) files: Vec<Range<usize>>,
    /// The words that name the files that it writes to.
    pub(crate) writes: Vec<Word>,
    /// What ends it.
    pub(crate) end: End,
}

/// What ends a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum End {
    /// The end of the text.
    #[default]
    Text,
    /// `&&`
    And,
    /// `||`
    Or,
    /// `|`
    Pipe,
    /// `;` or a line break.
    Semicolon,
    /// `&`
    Background,
    /// A bracket, or what begins a substitution of a file.
    Bracket,
}

/// Words that stand before a call without being part of it.
const BEFORE: [&str; 18] = [
    "if", "then", "elif", "else", "while", "until", "do", "{", "!", "time", "sudo", "command", "builtin", "exec",
    "env", "nohup", "$", "+",
];

impl Call {
    /// The program's name and its arguments.
    pub(crate) fn program(&self) -> &[Word] {
        let is_before = |word: &Word| BEFORE.contains(&word.text.as_str()) || is_assignment(&word.text);
        let begin = self.words.iter().position(|word| !is_before(word)).unwrap_or(self.words.len());
        &self.words[begin..]
    }
}

/// Whether `word` is `NAME=value`.
pub(crate) fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && name.starts_with(|c: char| !c.is_ascii_digit())
    })
}

/// The calls in `text`, in order.
pub(crate) fn calls(text: &str) -> Vec<Call> {
    let mut lexer = Lexer {
        text,
        at: 0,
        calls: Vec::new(),
        call: Call::default(),
        awaited: Vec::new(),
        unclosed: Vec::new(),
        inner: Vec::new(),
    };
    lexer.run();
    lexer.calls
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    calls: Vec<Call>,
    /// The call that is being read.
    call: Call,
    /// The here-documents that begin on the next line: the call, the delimiter, and whether leading tabs are removed.
    awaited: Vec<(usize, String, bool)>,
    /// Delimiters that were opened and never closed, so that none is searched for twice.
    unclosed: Vec<char>,
    /// The inner ranges of the word that is being read.
    inner: Vec<Range<usize>>,
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn run(&mut self) {
        while let Some(c) = self.rest().chars().next() {
            match c {
                '\n' => {
                    self.at += 1;
                    self.end(End::Semicolon);
                    self.here_documents();
                }
                '\\' if self.rest()[1..].starts_with('\n') => self.at += 2,
                '\\' if self.rest()[1..].starts_with("\r\n") => self.at += 3,
                '|' => {
                    let is_or = self.rest().starts_with("||");
                    self.at += 1 + usize::from(is_or || self.rest().starts_with("|&"));
                    self.end(if is_or { End::Or } else { End::Pipe });
                }
                '&' if self.rest().starts_with("&>") => self.at += 1,
                '&' if self.rest().starts_with("&&") => {
                    self.at += 2;
                    self.end(End::And);
                }
                ';' | '&' | '(' | ')' => {
                    self.at += 1;
                    self.end(match c {
                        ';' => End::Semicolon,
                        '&' => End::Background,
                        _ => End::Bracket,
                    });
                }
                '#' => self.at += self.rest().find('\n').unwrap_or(self.rest().len()),
                '<' | '>' => self.redirection(),
                c if c.is_whitespace() => self.at += c.len_utf8(),
                _ => {
                    let word = self.word();
                    // A descriptor's number belongs to its redirection.
                    let number = word.text.bytes().all(|byte| byte.is_ascii_digit());
                    if !(number && self.rest().starts_with(['<', '>'])) {
                        self.call.words.push(word);
                    }
                }
            }
        }
        self.end(End::Text);
    }

    fn end(&mut self, end: End) {
        let call = std::mem::take(&mut self.call);
        let is_something = !call.words.is_empty() || !call.inputs.is_empty() || !call.writes.is_empty();
        let awaited = self.awaited.iter().any(|(of, ..)| *of == self.calls.len());
        if is_something || awaited {
            self.calls.push(Call { is_piped: end == End::Pipe, end, ..call });
        }
    }

    fn redirection(&mut self) {
        let operators = ["<<<", "<<-", "<<", "<&", "<>", "<(", "<", ">>", ">&", ">|", ">(", ">"];
        let operator = operators.into_iter().find(|operator| self.rest().starts_with(operator)).unwrap_or("<");
        self.at += operator.len();
        if operator.ends_with('(') {
            // Another call's output.
            return self.end(End::Bracket);
        }
        self.at += self.rest().len() - self.rest().trim_start_matches([' ', '\t']).len();
        if self.rest().starts_with(['\n', '|', ';', '&', '<', '>', '(', ')']) || self.rest().is_empty() {
            return;
        }
        let word = self.word();
        match operator {
            "<<<" => self.call.inputs.push(word.range),
            "<" | "<>" => self.call.files.push(word.range),
            "<<" | "<<-" => self.awaited.push((self.calls.len(), word.text, operator == "<<-")),
            ">" | ">>" | ">|" => self.call.writes.push(word),
            // `2>&1` and `2>&-` are about descriptors, `>&x` is about a file.
            ">&" if !word.text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') => self.call.writes.push(word),
            _ => {}
        }
    }

    /// Reads the bodies of the here-documents that the line before has named.
    fn here_documents(&mut self) {
        for (of, end, has_tabs) in std::mem::take(&mut self.awaited) {
            let begin = self.at;
            let mut body = begin..begin;
            while self.at < self.text.len() {
                let line = self.rest().split_inclusive('\n').next().unwrap_or_default();
                let bare = line.trim_end_matches(['\n', '\r']);
                self.at += line.len();
                if (if has_tabs { bare.trim_start_matches('\t') } else { bare }) == end {
                    break;
                }
                body.end = self.at;
            }
            if let Some(call) = self.calls.get_mut(of) {
                call.inputs.push(body);
            }
        }
    }

    fn word(&mut self) -> Word {
        let begin = self.at;
        let mut text = String::new();
        while let Some(c) = self.rest().chars().next() {
            match c {
                '\'' => self.quoted(&mut text),
                '"' => self.double_quoted(&mut text),
                '\\' => self.escaped(&mut text),
                '$' => self.dollar(&mut text),
                '`' => self.substitution(&mut text, '`'),
                c if c.is_whitespace() || ";&|<>()".contains(c) => break,
                c => {
                    text.push(c);
                    self.at += c.len_utf8();
                }
            }
        }
        Word { range: begin..self.at, text, inner: std::mem::take(&mut self.inner) }
    }

    fn quoted(&mut self, text: &mut String) {
        match self.rest()[1..].find('\'') {
            Some(length) => {
                text.push_str(&self.rest()[1..=length]);
                self.inner.push(self.at + 1..self.at + 1 + length);
                self.at += length + 2;
            }
            None => self.literally(text),
        }
    }

    /// The character at `at`, whatever it is.
    fn literally(&mut self, text: &mut String) {
        if let Some(c) = self.rest().chars().next() {
            text.push(c);
            self.at += c.len_utf8();
        }
    }

    fn double_quoted(&mut self, text: &mut String) {
        if self.unclosed.contains(&'"') {
            return self.literally(text);
        }
        let (begin, length) = (self.at, text.len());
        self.at += 1;
        while let Some(c) = self.rest().chars().next() {
            match c {
                '"' => {
                    self.inner.push(begin + 1..self.at);
                    self.at += 1;
                    return;
                }
                '\\' if self.rest()[1..].starts_with(['"', '\\', '$', '`', '\n']) => self.escaped(text),
                '$' => self.dollar(text),
                '`' => self.substitution(text, '`'),
                _ => self.literally(text),
            }
        }
        self.unclosed.push('"');
        self.at = begin;
        text.truncate(length);
        self.literally(text);
    }

    fn escaped(&mut self, text: &mut String) {
        self.at += 1;
        match self.rest().starts_with('\n') {
            true => self.at += 1,
            false => self.literally(text),
        }
    }

    fn dollar(&mut self, text: &mut String) {
        let behind = &self.rest()[1..];
        match behind.chars().next() {
            Some('(') => {
                self.at += 1;
                self.substitution(text, ')');
            }
            Some('{') => {
                self.at += 1;
                self.substitution(text, '}');
            }
            Some('\'') => {
                self.at += 1;
                self.quoted(text);
            }
            Some('"') => self.at += 1,
            Some(c) if c.is_ascii_alphabetic() || c == '_' => {
                let name = behind.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(behind.len());
                self.at += 1 + name;
                text.push(EXPANSION);
            }
            Some(c) if c.is_ascii_digit() || "?$!@*#-".contains(c) => {
                self.at += 2;
                text.push(EXPANSION);
            }
            _ => self.literally(text),
        }
    }

    /// The text up to the bracket, or the backtick, that closes the one at `at`.
    fn substitution(&mut self, text: &mut String, close: char) {
        if self.unclosed.contains(&close) {
            return self.literally(text);
        }
        let open = self.rest().chars().next().unwrap_or(close);
        let mut depth = 0_usize;
        let mut quote = None;
        let mut end = None;
        let mut chars = self.rest().char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            match (quote, c) {
                (_, '\\') => {
                    chars.next();
                }
                (Some(closing), c) => quote = (c != closing).then_some(closing),
                (None, '\'' | '"') if close != '`' && depth > 0 => quote = Some(c),
                (None, c) if c == close && (open != close || depth > 0) => {
                    depth -= 1;
                    if depth == 0 {
                        end = Some(at + c.len_utf8());
                        break;
                    }
                }
                (None, c) if c == open => depth += 1,
                _ => {}
            }
        }
        match end {
            Some(end) => {
                text.push(EXPANSION);
                self.inner.push(self.at + open.len_utf8()..self.at + end - close.len_utf8());
                self.at += end;
            }
            None => {
                self.unclosed.push(close);
                self.literally(text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each call's words, joined by `|`, with `$` for an expansion.
    fn words(text: &str) -> Vec<String> {
        let join = |call: &Call| {
            let words: Vec<String> = call.words.iter().map(|word| word.text.replace(EXPANSION, "$")).collect();
            words.join("|")
        };
        calls(text).iter().map(join).collect()
    }

    #[test]
    fn words_are_what_a_shell_makes_of_them() {
        for (text, expected) in [
            ("a b  c", &["a|b|c"][..]),
            ("a 'b c'\"d e\"f", &["a|b cd ef"]),
            ("a \"b \\\"c\\\" \\x\" d\\ e", &["a|b \"c\" \\x|d e"]),
            ("a $B \"${C:-'}'}\" $(d \"e)\" $(f)) `g h` $1$? $", &["a|$|$|$|$|$$|$"]),
            ("a; b && c || d | e & f", &["a", "b", "c", "d", "e", "f"]),
            ("if a; then (b); fi", &["if|a", "then", "b", "fi"]),
            ("a # b ; c\nd", &["a", "d"]),
            ("a 2>&1 >b <c 3>>d e", &["a|e"]),
            ("a \\\n b", &["a|b"]),
            ("it's here", &["it's|here"]),
            ("say \"hi", &["say|\"hi"]),
            ("a $'b\\n' $\"c\"", &["a|b\\n|c"]),
            ("", &[]),
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
    }

    #[test]
    fn a_call_knows_what_ends_it_and_what_it_reads() {
        let text = "a && b || c | d <e; (f) & g <<< h\ni";
        let seen: Vec<_> = calls(text).into_iter().map(|call| (call.words[0].text.clone(), call.end)).collect();
        let ends = [End::And, End::Or, End::Pipe, End::Semicolon, End::Bracket, End::Semicolon, End::Text];
        let expected: Vec<_> = ["a", "b", "c", "d", "f", "g", "i"].map(str::to_owned).into_iter().zip(ends).collect();
        assert_eq!(seen, expected);
        let files = |text: &str| calls(text)[0].files.iter().map(|it| text[it.clone()].to_owned()).collect::<Vec<_>>();
        assert_eq!((files("a <b 2>&1 >c"), files("a <<< b")), (vec!["b".to_owned()], vec![]));
        let writes = |text: &str| calls(text)[0].writes.iter().map(|it| it.text.clone()).collect::<Vec<_>>();
        assert_eq!(writes("a <b 2>&1 >c 2>>'d e' >|f >&g >&- &>h"), ["c", "d e", "f", "g", "h"]);
        assert_eq!(writes("> a"), ["a"]);
    }

    #[test]
    fn what_is_given_as_input_is_no_call() {
        let text = "a <<'E' | b <<-F\none $x\nE\n\ttwo\n\tF\nc <<< 'three'\n";
        let calls = calls(text);
        let inputs = |call: &Call| call.inputs.iter().map(|range| text[range.clone()].to_owned()).collect::<Vec<_>>();
        let found: Vec<_> =
            calls.iter().map(|call| (call.words[0].text.as_str(), call.is_piped, inputs(call))).collect();
        let expected = [
            ("a", true, vec!["one $x\n".to_owned()]),
            ("b", false, vec!["\ttwo\n".to_owned()]),
            ("c", false, vec!["'three'".to_owned()]),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn the_program_stands_behind_what_leads_to_it() {
        let program = |text: &str| calls(text)[0].program().iter().map(|word| word.text.clone()).collect::<Vec<_>>();
        assert_eq!(program("A=1 sudo env B=2 time c d=3"), ["c", "d=3"]);
        assert!(program("A=1").is_empty());
    }

    #[test]
    fn what_is_never_closed_costs_one_look() {
        for part in ["$(", "${", "`$(", "\"", "'", "\"$(", "<<E ", "$(\"", "(", "a|"] {
            let _ = calls(&part.repeat(200_000));
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_can_be_taken_apart(text in "(\\PC|['\"\\\\$`(){}<>|&;# \n]|<<E|E){0,40}") {
            for word in calls(&text).iter().flat_map(|call| &call.words) {
                proptest::prop_assert!(!text[word.range.clone()].is_empty());
            }
        }
    }
}
