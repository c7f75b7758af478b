#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::{Arc, Mutex};

use super::table::{Align, Table, pairs};
use super::*;

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Gone;

impl Write for Gone {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Serialize)]
struct Answer {
    n: u32,
}

impl Report for Answer {
    fn text(&self) -> String {
        format!("the answer is {}\n", self.n)
    }
}

fn shown(format: Format, show: impl FnOnce(&mut Output)) -> (String, String) {
    let (out, err) = (Sink::default(), Sink::default());
    show(&mut Output::new(format, Box::new(out.clone()), Box::new(err.clone())));
    let text = |sink: Sink| String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
    (text(out), text(err))
}

#[test]
fn a_result_has_two_forms() {
    let report = |output: &mut Output| output.report(&Answer { n: 42 }).unwrap();
    assert_eq!(shown(Format::Text, report).0, "the answer is 42\n");
    assert_eq!(shown(Format::Json, report).0, "{\n  \"n\": 42\n}\n");
}

#[test]
fn a_reader_that_went_away_is_no_failure() {
    let mut output = Output::new(Format::Text, Box::new(Gone), Box::new(Gone));
    output.report(&Answer { n: 1 }).unwrap();
    output.say("still here");
}

#[test]
fn failures_say_what_why_and_what_next() {
    let fail = |output: &mut Output| {
        let error = io::Error::other("disk on fire");
        output.failure(&Failure::new("cannot read x").because(&error).hint("put it out"));
    };
    assert_eq!(shown(Format::Text, fail).1, "error: cannot read x\ncause: disk on fire\nhint: put it out\n");
    let json: serde_json::Value = serde_json::from_str(&shown(Format::Json, fail).1).unwrap();
    assert_eq!(json["error"]["message"], "cannot read x");
    assert_eq!(json["error"]["causes"][0], "disk on fire");
    assert_eq!(json["error"]["hint"], "put it out");
}

#[test]
fn progress_is_for_people() {
    let say = |output: &mut Output| output.say("working");
    assert_eq!(shown(Format::Text, say).0, "working\n");
    assert_eq!(shown(Format::Json, say).0, "");
}

#[test]
fn tables_align_and_end_without_spaces() {
    let mut table = Table::new(&[("NAME", Align::Left), ("SIZE", Align::Right), ("NOTE", Align::Left)]);
    table.row(["a".into(), "10".into()]);
    table.row(["longer".into(), "1".into(), "x".into()]);
    assert_eq!(table.text(0), "NAME    SIZE  NOTE\na         10\nlonger     1  x\n");
}

#[test]
fn control_characters_cannot_reach_the_terminal() {
    let mut table = Table::new(&[("NAME", Align::Left)]);
    table.row(["\u{1b}[31mred\n".into()]);
    assert_eq!(table.text(0), "NAME\n\\u{1b}[31mred\\n\n");
    assert_eq!(pairs(&[("a", "\u{7}".into()), ("bcd", "1".into())]), "a:    \\u{7}\nbcd:  1\n");
}
