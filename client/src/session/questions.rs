//! Questions under way: asked on the stream, and asked again on the next one. Pure.
//!
//! A stream carries a bounded number of them at a time; the rest wait here for their turn.

use std::collections::BTreeMap;

use holdfast_core::id::Seq;
use holdfast_proto::lease::Question;
use holdfast_proto::v1::client_message::Message;

/// Questions that may be on the wire at once; the server takes four times as many.
const ON_THE_WIRE_MAX: usize = 1024;

/// See the module. `W` is whoever waits for an answer.
#[derive(Debug)]
pub(crate) struct Questions<W> {
    last_id: u64,
    asked: BTreeMap<u64, (Question, W)>,
    /// Those that are on the wire, and the operation that each is behind.
    said: BTreeMap<u64, Seq>,
}

impl<W> Questions<W> {
    pub(crate) const fn new() -> Self {
        Self { last_id: 0, asked: BTreeMap::new(), said: BTreeMap::new() }
    }

    /// Somebody asks. The question's number.
    pub(crate) fn ask(&mut self, question: Question, waiter: W) -> u64 {
        self.last_id += 1;
        self.asked.insert(self.last_id, (question, waiter));
        self.last_id
    }

    /// Nobody waits for the answer any more. One that is on the wire is still heard: something may be lent
    /// with it.
    pub(crate) fn give_up(&mut self, id: u64) {
        if !self.said.contains_key(&id) {
            self.asked.remove(&id);
        }
    }

    /// The next message, if there is room for one. It goes out behind this operation.
    pub(crate) fn say(&mut self, behind: Seq) -> Option<Message> {
        if self.said.len() >= ON_THE_WIRE_MAX {
            return None;
        }
        let next = self.said.last_key_value().map_or(0, |(last, _)| last + 1);
        let (&id, (question, _)) = self.asked.range(next..).next()?;
        self.said.insert(id, behind);
        Some(Message::Question(question.to_wire(id)))
    }

    /// What was asked under a number, and behind which operation.
    pub(crate) fn question(&self, id: u64) -> Option<(&Question, Seq)> {
        let behind = *self.said.get(&id)?;
        self.asked.get(&id).map(|(question, _)| (question, behind))
    }

    /// It is answered: whoever waits.
    pub(crate) fn answered(&mut self, id: u64) -> Option<W> {
        self.said.remove(&id);
        self.asked.remove(&id).map(|(_, waiter)| waiter)
    }

    /// The stream broke: everything is to be asked again.
    pub(crate) fn rewind(&mut self) {
        self.said.clear();
    }

    /// The session is lost: everybody who waits.
    pub(crate) fn wreck(&mut self) -> Vec<W> {
        self.said.clear();
        std::mem::take(&mut self.asked).into_values().map(|(_, waiter)| waiter).collect()
    }

    /// Whether somebody waits.
    #[cfg(test)]
    fn is_waiting(&self) -> bool {
        !self.asked.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
    use holdfast_core::id::InodeId;

    use super::*;

    fn question(ino: u64) -> Question {
        Question::GetAttr { ino: InodeId(ino) }
    }

    fn id(message: Option<Message>) -> Option<u64> {
        match message? {
            Message::Question(question) => Some(question.id),
            other => panic!("{other:?} is no question"),
        }
    }

    #[test]
    fn each_is_said_once_a_stream_and_answered_once() {
        let mut questions = Questions::new();
        questions.ask(question(5), "a");
        questions.ask(question(6), "b");
        let mut say = |behind| id(questions.say(Seq(behind)));
        assert_eq!((say(3), say(4), say(4)), (Some(1), Some(2), None));
        assert_eq!(questions.question(2), Some((&question(6), Seq(4))));
        assert_eq!((questions.answered(2), questions.answered(2)), (Some("b"), None));
        questions.rewind();
        assert!(questions.question(1).is_none());
        assert_eq!((id(questions.say(Seq(5))), id(questions.say(Seq(5)))), (Some(1), None));
        assert_eq!((questions.wreck(), questions.is_waiting()), (vec!["a"], false));
    }

    #[test]
    fn what_is_given_up_is_asked_no_more_but_still_heard_once_it_was() {
        let mut questions = Questions::new();
        let (first, second) = (questions.ask(question(5), "a"), questions.ask(question(6), "b"));
        assert_eq!(id(questions.say(Seq(0))), Some(first));
        questions.give_up(first);
        questions.give_up(second);
        assert!(questions.say(Seq(0)).is_none());
        assert_eq!((questions.answered(first), questions.is_waiting()), (Some("a"), false));
    }

    #[test]
    fn more_wait_for_their_turn() {
        let mut questions = Questions::new();
        for ino in 1..=ON_THE_WIRE_MAX as u64 + 2 {
            questions.ask(question(ino), ino);
        }
        let said = std::iter::from_fn(|| id(questions.say(Seq(0)))).count();
        assert_eq!(said, ON_THE_WIRE_MAX);
        assert_eq!(questions.answered(7), Some(7));
        assert_eq!(id(questions.say(Seq(0))).unwrap(), ON_THE_WIRE_MAX as u64 + 1);
        assert!(questions.say(Seq(0)).is_none());
    }
}
