//! What comes in, and when the server ends. It holds its input and nothing else: no file of the home.
//!
//! It ends
//!
//! 1. at the end of its input, after the answers to what came before it;
//! 2. when its parent is gone, within [`LOOK`], even if another process keeps the input open;
//! 3. after a time without a message;
//! 4. when its output is closed.
//!
//! What has arrived is read before a request is served, so that a request whose cancellation has arrived as well is not.

use std::cell::LazyCell;
use std::collections::VecDeque;
use std::io::{self, Read as _};
use std::time::{Duration, Instant};

use indelible::fs::os;
use serde_json::Value;

use super::protocol::{self, IdScan, Message};

/// How long a client is waited for before the server looks up how long it may wait: a client that has just started it is answered first.
const HEAD_START: Duration = Duration::from_millis(20);
/// How often the server looks whether its parent is there.
const LOOK: Duration = Duration::from_secs(1);
/// The longest message, in bytes: a body may have 1 MiB, and each byte of it may be an escape of six.
const LINE_BYTES_MAX: usize = 8 << 20;
/// How much is read with one call, in bytes. As much as the standard library's own buffer, which is passed by then.
const CHUNK_BYTES: usize = 64 << 10;
/// The most messages that wait to be served.
const WAITING_MAX: usize = 256;

/// A line of input.
#[derive(Debug, PartialEq)]
pub enum Line {
    /// It is whole, and may be anything.
    Whole(Vec<u8>),
    /// It was longer than [`LINE_BYTES_MAX`], and is gone. The id in it, if there was one.
    TooLong(Option<Value>),
}

/// The input.
pub struct Input<'i> {
    lines: Lines,
    chunk: Box<[u8]>,
    idle: LazyCell<Duration, Box<dyn FnOnce() -> Duration + 'i>>,
    knows_idle: bool,
    parent: Option<u32>,
    has_ended: bool,
}

impl<'i> Input<'i> {
    /// The standard input, of a server that ends after `idle` without a message. That is asked for once there is nothing to answer.
    pub fn new(idle: impl FnOnce() -> Duration + 'i) -> Input<'i> {
        let chunk = vec![0; CHUNK_BYTES].into_boxed_slice();
        let idle: Box<dyn FnOnce() -> Duration + 'i> = Box::new(idle);
        let idle = LazyCell::new(idle);
        Input { lines: Lines::default(), chunk, idle, knows_idle: false, parent: os::parent(), has_ended: false }
    }

    /// The next line; `None` once the server has to end.
    pub fn next_line(&mut self) -> Option<Line> {
        let since = Instant::now();
        loop {
            self.take_what_is_there();
            if let Some(line) = self.lines.pop() {
                return Some(line);
            }
            if !self.has_ended && !self.knows_idle {
                self.knows_idle = !os::is_readable(&io::stdin(), HEAD_START);
                continue;
            }
            let left = self.idle.saturating_sub(since.elapsed());
            if self.has_ended || left.is_zero() || os::parent() != self.parent {
                return None;
            }
            if os::is_readable(&io::stdin(), left.min(LOOK)) {
                self.read();
            }
        }
    }

    /// Whether a cancellation of the request `id` has arrived.
    pub fn cancels(&mut self, id: &Value) -> bool {
        self.take_what_is_there();
        self.lines.waiting.iter().any(|(_, cancels)| cancels.as_ref() == Some(id))
    }

    fn take_what_is_there(&mut self) {
        while !self.has_ended && self.lines.has_room() && os::is_readable(&io::stdin(), Duration::ZERO) {
            self.read();
        }
    }

    fn read(&mut self) {
        match io::stdin().lock().read(&mut self.chunk) {
            Ok(0) => {
                self.has_ended = true;
                self.lines.end();
            }
            Ok(read) => self.lines.add(&self.chunk[..read]),
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
            Err(_) => self.has_ended = true,
        }
    }
}

/// Bytes become lines.
#[derive(Default)]
struct Lines {
    /// The lines that are complete, each with the id of the request that it cancels.
    waiting: VecDeque<(Line, Option<Value>)>,
    waiting_bytes: usize,
    begun: Vec<u8>,
    /// There while a line is too long.
    scan: Option<IdScan>,
}

impl Lines {
    fn has_room(&self) -> bool {
        self.waiting.len() < WAITING_MAX && self.waiting_bytes < LINE_BYTES_MAX
    }

    fn pop(&mut self) -> Option<Line> {
        let (line, _) = self.waiting.pop_front()?;
        if let Line::Whole(bytes) = &line {
            self.waiting_bytes -= bytes.len();
        }
        Some(line)
    }

    fn add(&mut self, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.continue_line(&bytes[..end]);
            self.end();
            bytes = &bytes[end + 1..];
        }
        self.continue_line(bytes);
    }

    fn continue_line(&mut self, bytes: &[u8]) {
        if self.scan.is_none() && self.begun.len() + bytes.len() > LINE_BYTES_MAX {
            let mut scan = IdScan::default();
            scan.feed(&std::mem::take(&mut self.begun));
            self.scan = Some(scan);
        }
        match &mut self.scan {
            Some(scan) => scan.feed(bytes),
            None => self.begun.extend_from_slice(bytes),
        }
    }

    /// Ends the line. Blank lines are skipped.
    fn end(&mut self) {
        let line = std::mem::take(&mut self.begun);
        if let Some(scan) = self.scan.take() {
            self.waiting.push_back((Line::TooLong(scan.id()), None));
        } else if !line.trim_ascii().is_empty() {
            let cancels = cancelled_by(&line);
            self.waiting_bytes += line.len();
            self.waiting.push_back((Line::Whole(line), cancels));
        }
    }
}

/// The id of the request that `line` cancels. Most lines are not parsed for that.
fn cancelled_by(line: &[u8]) -> Option<Value> {
    const NAME: &[u8] = b"notifications/cancelled";
    if !line.windows(NAME.len()).any(|it| it == NAME) {
        return None;
    }
    match protocol::message(line) {
        Message::Notification(notification) => notification.cancels().cloned(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lines_of(parts: &[&[u8]]) -> Vec<Line> {
        let mut lines = Lines::default();
        parts.iter().for_each(|part| lines.add(part));
        lines.end();
        std::iter::from_fn(|| lines.pop()).collect()
    }

    #[test]
    fn lines_are_put_together_however_they_arrive() {
        let whole = |text: &str| Line::Whole(text.as_bytes().to_vec());
        assert_eq!(lines_of(&[b"a\nb", b"c\n", b"\n \r\n", b"d"]), [whole("a"), whole("bc"), whole("d")]);
        assert_eq!(lines_of(&[b"\xff\n"]), [Line::Whole(b"\xff".to_vec())]);
    }

    #[test]
    fn a_line_that_is_too_long_is_not_kept_and_ends_at_its_end() {
        let long = vec![b'x'; LINE_BYTES_MAX];
        let lines = lines_of(&[br#"{"id":7,"p":""#, &long, &long, b"\"}\nnext\n"]);
        assert_eq!(lines, [Line::TooLong(Some(json!(7))), Line::Whole(b"next".to_vec())]);
        let longest = lines_of(&[&long, b"\n"]);
        assert!(matches!(&longest[..], [Line::Whole(line)] if line.len() == LINE_BYTES_MAX));
    }

    #[test]
    fn a_cancellation_names_its_request_before_it_is_served() {
        let line = br#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"a"}}"#;
        assert_eq!(cancelled_by(line), Some(json!("a")));
        assert_eq!(cancelled_by(br#"{"jsonrpc":"2.0","id":1,"method":"notifications/cancelled"}"#), None);
        assert_eq!(cancelled_by(b"notifications/cancelled"), None);
    }
}
