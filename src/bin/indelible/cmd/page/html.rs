//! HTML that recorded text cannot break out of.
//!
//! All text goes through [`Html::text`]: secrets of known shapes are replaced, what hides or reorders text becomes visible, and
//! every sign with a meaning to HTML is escaped. Names of elements and attributes are ours.

use indelible::model::text::{shortened, visible_line_on_screen, visible_on_screen};
use indelible::redact::Redactor;

/// The longest text of several lines, in characters.
const BODY_CHARS_MAX: usize = 2_000;
/// The longest text of one line, in characters.
const LINE_CHARS_MAX: usize = 500;

/// HTML that is being written.
pub struct Html<'r> {
    out: String,
    redactor: &'r Redactor,
}

impl<'r> Html<'r> {
    pub fn new(redactor: &'r Redactor) -> Html<'r> {
        Html { out: String::with_capacity(1 << 16), redactor }
    }

    /// Adds `markup`, which has no recorded text in it.
    pub fn raw(&mut self, markup: &str) -> &mut Self {
        self.out.push_str(markup);
        self
    }

    /// Adds recorded text on one line.
    pub fn text(&mut self, text: &str) -> &mut Self {
        let line = self.redactor.text(text);
        let line = visible_line_on_screen(line.trim());
        escape(&shortened(&line, LINE_CHARS_MAX), &mut self.out);
        self
    }

    /// Adds `element` with recorded text of one line in it.
    pub fn element(&mut self, element: &str, text: &str) -> &mut Self {
        self.raw(&format!("<{element}>")).text(text).raw(&format!("</{element}>\n"))
    }

    /// Adds recorded text of several lines, behind a line that opens it. Nothing if there is no text.
    pub fn body(&mut self, summary: &str, text: &str) -> &mut Self {
        // Cut first: a secret in what is left out is not shown anyway, and a long text costs time.
        let cut = shortened(text.trim(), BODY_CHARS_MAX);
        if cut.is_empty() {
            return self;
        }
        self.raw("<details><summary>").text(summary).raw("</summary>\n<pre>");
        let body = self.redactor.text(&cut);
        escape(&visible_on_screen(&body), &mut self.out);
        self.raw("</pre></details>\n")
    }

    pub fn finish(self) -> String {
        self.out
    }
}

/// Adds `text` to `out`, with the signs escaped that mean something to HTML.
fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        let redactor = Redactor::new::<&str, &str>([]).expect("none is invalid");
        let mut html = Html::new(&redactor);
        html.element("h3", "</h3><script>alert('\"&\u{202e}\u{0}')</script>");
        html.body("a<b", " x\n</pre>\u{1b}[31m ").body("none", " \n");
        html.text("token=ghp_0123456789abcdefghijklmnopqrstuvwxyz");
        let text = html.finish();
        let wanted = "<h3>&lt;/h3&gt;&lt;script&gt;alert(&#39;&quot;&amp;\u{27e8}U+202E\u{27e9}\u{2400}&#39;)&lt;/script&gt;</h3>\n\
                      <details><summary>a&lt;b</summary>\n<pre>x\n&lt;/pre&gt;\u{241b}[31m</pre></details>\n";
        assert!(text.starts_with(wanted), "{text}");
        assert!(!text.contains("ghp_0123"), "{text}");
    }
}
