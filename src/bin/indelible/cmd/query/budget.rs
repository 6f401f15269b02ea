//! Sections of text within a budget of characters. Pure.
//!
//! Everything is kept if it fits. Otherwise entries are taken in their order as far as they fit, a heading only with an
//! entry below it, and the last line says how many are left out.

/// A heading and the entries below it. All end with a line feed.
#[derive(Debug)]
pub struct Section {
    /// 1 is the highest.
    level: u8,
    heading: String,
    entries: Vec<String>,
}

/// A text in sections.
#[derive(Debug, Default)]
pub struct Document {
    sections: Vec<Section>,
}

impl Document {
    /// Adds a section.
    pub fn add(&mut self, level: u8, heading: impl Into<String>, entries: Vec<String>) {
        self.sections.push(Section { level, heading: heading.into(), entries });
    }

    /// The same, unless it would be empty.
    pub fn add_some(&mut self, level: u8, heading: impl Into<String>, entries: Vec<String>) {
        if !entries.is_empty() {
            self.add(level, heading, entries);
        }
    }

    /// How many characters it has.
    pub fn chars(&self) -> usize {
        let of = |section: &Section| {
            chars(&section.heading) + section.entries.iter().map(|entry| chars(entry)).sum::<usize>()
        };
        self.sections.iter().map(of).sum()
    }

    /// The text below `head`, in `chars_max` characters. `head` is kept in any case, and so is the line about what is
    /// left out, which `of` ends.
    pub fn within(&self, head: &str, chars_max: usize, of: &str) -> String {
        let mut text = head.to_owned();
        if chars(head) + self.chars() <= chars_max {
            for section in &self.sections {
                text.push_str(&section.heading);
                text.extend(section.entries.iter().map(String::as_str));
            }
            return text;
        }
        let note = |count: usize| format!("\n*[{count} entries left out to keep to {of}]*\n");
        let room = chars_max.saturating_sub(chars(head) + chars(&note(usize::MAX)));
        let left_out = self.take(&mut text, room);
        text.push_str(&note(left_out));
        text
    }

    /// Appends the entries that fit in `room` characters, with their headings. Returns how many do not.
    fn take(&self, text: &mut String, mut room: usize) -> usize {
        let mut left_out = 0;
        let mut pending: Vec<&Section> = Vec::new();
        for section in &self.sections {
            pending.retain(|above| above.level < section.level);
            pending.push(section);
            for entry in &section.entries {
                let cost = chars(entry) + pending.iter().map(|above| chars(&above.heading)).sum::<usize>();
                let Some(rest) = room.checked_sub(cost) else {
                    left_out += 1;
                    continue;
                };
                room = rest;
                text.extend(pending.drain(..).map(|above| above.heading.as_str()));
                text.push_str(entry);
            }
        }
        left_out
    }
}

fn chars(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn document() -> Document {
        let mut document = Document::default();
        document.add(1, "# One\n", Vec::new());
        document.add(2, "## A\n", vec!["aaaa\n".into(), "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\n".into()]);
        document.add(2, "## B\n", vec!["cccccccccccccccccccccccccccccccccccccccccccccccccccc\n".into()]);
        document.add(1, "# Two\n", vec!["dd\n".into()]);
        document
    }

    #[test]
    fn what_does_not_fit_is_left_out_with_its_heading() {
        let whole = document().within("head\n", 1000, "10 tokens");
        assert!(whole.starts_with("head\n# One\n## A\naaaa\nbbb"), "{whole}");
        assert!(!whole.contains("left out"), "{whole}");
        let cut = document().within("head\n", 115, "10 tokens");
        assert_eq!(cut, "head\n# One\n## A\naaaa\n# Two\ndd\n\n*[2 entries left out to keep to 10 tokens]*\n");
        let least = document().within("head\n", 0, "10 tokens");
        assert_eq!(least, "head\n\n*[4 entries left out to keep to 10 tokens]*\n");
    }

    proptest! {
        #[test]
        fn no_budget_is_exceeded(chars_max in 80usize..400, lengths in prop::collection::vec((1u8..4, 0usize..90), 0..9)) {
            let mut document = Document::default();
            for (level, length) in lengths {
                document.add(level, format!("{}\n", "#".repeat(level.into())), vec!["ä".repeat(length), "x\n".into()]);
            }
            prop_assert!(chars(&document.within("head\n", chars_max, "10 tokens")) <= chars_max);
        }
    }
}
