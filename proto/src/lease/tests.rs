#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
use bytes::Bytes;
use holdfast_core::error::PosixError;

use super::*;

fn name(text: &'static str) -> FileName {
    FileName::new(Bytes::from_static(text.as_bytes())).unwrap()
}

fn questions() -> [Question; 3] {
    [
        Question::Lookup { parent: InodeId(1), name: name("a") },
        Question::GetAttr { ino: InodeId(7) },
        Question::ReadDir { ino: InodeId(7), after: DirCookie(3), entries_max: 10, with_attributes: true },
    ]
}

fn grants() -> Vec<Grant> {
    let grant = |ino, mode, number| Grant { target: Target::Inode(InodeId(ino)), mode, number: GrantNo(number) };
    vec![grant(1, Mode::Shared, 8), grant(7, Mode::Exclusive, 9)]
}

#[test]
fn questions_arrive_as_they_were_sent() {
    for question in questions() {
        assert_eq!(Question::from_wire(question.to_wire(5)).unwrap(), question);
    }
    let stranger = v1::Question { id: 1, question: None };
    assert_eq!(Question::from_wire(stranger).unwrap_err().kind(), ErrorKind::Version);
    let nowhere = Question::GetAttr { ino: InodeId(0) }.to_wire(1);
    assert_eq!(Question::from_wire(nowhere).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn errors_arrive_with_their_grants() {
    let question = &questions()[0];
    let said = Answered { result: Err(PosixError::NoEntry.into()), grants: grants() };
    let heard = Answered::from_wire(said.to_wire(4), question).unwrap();
    assert_eq!(heard.result.unwrap_err().kind(), ErrorKind::Posix(PosixError::NoEntry));
    assert_eq!(heard.grants, grants());
}

#[test]
fn an_answer_to_another_question_is_refused() {
    let page = DirPage { entries: Vec::new(), end: true, parent: InodeId(1) };
    let wire = Answered { result: Ok(Reply::ReadDir(page)), grants: Vec::new() }.to_wire(1);
    let [lookup, getattr, readdir] = questions();
    for question in [lookup, getattr] {
        assert!(Answered::from_wire(wire.clone(), &question).is_err());
    }
    assert!(Answered::from_wire(wire, &readdir).unwrap().result.is_ok());
    assert!(Answered::from_wire(v1::Answer::default(), &readdir).is_err());
}

#[test]
fn what_is_lent_and_given_back_arrives_as_it_was_sent() {
    for sent in grants() {
        assert_eq!(grant(&grant_to_wire(&sent)).unwrap(), sent);
    }
    assert!(grant(&v1::Grant { ino: 1, mode: 0, number: 1 }).is_err());
    assert!(grant(&v1::Grant { ino: 1, mode: 9, number: 1 }).is_err());
    for left in [None, Some(Mode::Shared)] {
        let back = GiveBack { target: Target::Inode(InodeId(4)), left, seen: GrantNo(6), kept: Vec::new() };
        assert_eq!(give_back(&give_back_to_wire(&back)).unwrap(), back);
        let wire = v1::Recall { ino: 4, keep: mode_to_wire(left) };
        assert_eq!(recall(&wire).unwrap(), (InodeId(4), left));
    }
    let claim = held(&held_to_wire(InodeId(4), Mode::Exclusive)).unwrap();
    assert_eq!(claim, (Target::Inode(InodeId(4)), Mode::Exclusive));
}
