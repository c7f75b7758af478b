//! Questions, recalls, and operations that are to be done again.

use holdfast_core::lease::{GiveBack, GrantNo, Target};

use super::*;

fn getattr() -> Question {
    Question::GetAttr { ino: FILE }
}

fn back(ino: InodeId) -> GiveBack {
    GiveBack { target: Target::Inode(ino), left: None, seen: GrantNo(1), kept: Vec::new() }
}

/// Numbers of operations and give-backs, in the order in which they came.
fn order(world: &World) -> Vec<String> {
    let said = world.heard.iter().flat_map(|said| match said {
        Said::Ops(batch) => (batch.first_seq..).zip(&batch.ops).map(|(seq, _)| seq.to_string()).collect(),
        Said::GiveBack(back) => vec![format!("back {}", back.ino)],
        Said::Question(question) => vec![format!("ask {}", question.id)],
        _ => Vec::new(),
    });
    said.collect()
}

#[tokio::test]
async fn a_question_is_answered_and_remembered_first() {
    let fake = Fake::start().await;
    let (session, told) = open_with(&fake, SessionOptions::default()).await;
    match session.ask(getattr()).await.unwrap() {
        Reply::GetAttr(attr) => assert_eq!(attr.ino, FILE),
        other => panic!("{other:?}"),
    }
    assert_eq!(*told.leases.lock(), ["answered 1"]);
}

#[tokio::test]
async fn a_question_is_asked_again_on_the_next_stream() {
    let fake = Fake::start().await;
    fake.cheer(|mood| mood.silent = true);
    let (session, told) = open_with(&fake, SessionOptions::default()).await;
    let answer = tokio::spawn(session.ask(getattr()));
    fake.until(|world| (order(world) == ["ask 1"]).then_some(())).await;
    fake.cheer(|mood| mood.silent = false);
    fake.cut();
    answer.await.unwrap().unwrap();
    assert_eq!(fake.with(|world| order(world)), ["ask 1", "ask 1"]);
    assert_eq!(*told.leases.lock(), ["broken", "answered 1"]);
    let hello = fake.with(|world| hellos(world)).pop().unwrap();
    assert_eq!(hello.held_leases.iter().map(|held| held.ino).collect::<Vec<_>>(), [FILE.0]);
}

#[tokio::test]
async fn questions_and_give_backs_follow_what_was_submitted_before_them() {
    let fake = Fake::start().await;
    let session = open(&fake).await;
    let (mut waits, mut answers) = (Vec::new(), Vec::new());
    for round in 0..20 {
        waits.push(submit(&session, create(format!("a{round}").as_bytes())));
        answers.push(session.ask(getattr()));
        waits.push(submit(&session, create(format!("b{round}").as_bytes())));
        session.give_back(&back(InodeId(round + 10)));
    }
    for wait in waits {
        wait.await.unwrap();
    }
    for answer in answers {
        answer.await.unwrap();
    }
    let order = fake.until(|world| Some(order(world)).filter(|order| order.len() == 80)).await;
    let at = |what: String| order.iter().position(|said| *said == what).unwrap();
    for round in 0..20_usize {
        assert!(at(format!("ask {}", round + 1)) > at((2 * round + 1).to_string()), "{order:?}");
        assert!(at(format!("back {}", round + 10)) > at((2 * round + 2).to_string()), "{order:?}");
    }
}

#[tokio::test]
async fn what_is_to_be_done_again_goes_behind_the_give_back() {
    let fake = Fake::start().await;
    fake.cheer(|mood| mood.retries = 1);
    let (session, told) = open_with(&fake, SessionOptions::default()).await;
    // Nothing is asked for: again at once.
    submit(&session, create(b"a")).await.unwrap();
    assert_eq!(fake.with(|world| order(world)), ["1", "2"]);
    fake.say(&Answer::Recall(v1::Recall { ino: 30, keep: 0 }));
    soon(|| !told.recalled.lock().is_empty()).await;
    fake.cheer(|mood| mood.retries = 1);
    let put_off = tokio::spawn(submit(&session, create(b"b")));
    fake.until(|world| (world.mood.retries == 0).then_some(())).await;
    submit(&session, create(b"c")).await.unwrap();
    assert!(!put_off.is_finished());
    session.give_back(&back(InodeId(30)));
    put_off.await.unwrap().unwrap();
    assert_eq!(fake.with(|world| order(world)), ["1", "2", "3", "4", "back 30", "5"]);
    assert_eq!(*told.leases.lock(), ["applied true"; 3]);
}

#[tokio::test]
async fn staged_data_is_staged_again_under_its_new_number() {
    let fake = Fake::start().await;
    let (session, told) = open_with(&fake, SessionOptions::default()).await;
    fake.say(&Answer::Recall(v1::Recall { ino: 30, keep: 0 }));
    soon(|| !told.recalled.lock().is_empty()).await;
    fake.cheer(|mood| mood.retries = 1);
    let written = tokio::spawn(write(&session, 300 << 10));
    fake.until(|world| (world.stagings == 1 && world.mood.retries == 0).then_some(())).await;
    session.give_back(&back(InodeId(30)));
    written.await.unwrap().unwrap();
    assert_eq!(
        fake.with(|world| (world.stagings, order(world))),
        (2, ["1", "back 30", "2"].map(str::to_owned).to_vec())
    );
    assert_eq!(*told.leases.lock(), ["applied true"]);
}

/// Answers the making of a file here; the fake server makes it otherwise.
fn answer_create(session: &Session, name: &str) -> Option<Seq> {
    session.answer(|answering| {
        let Op::Create { parent, name, node, mode, .. } = create(name.as_bytes()) else { return None };
        let ino = answering.inode()?;
        let attr = Attr {
            ino,
            kind: FileKind::Regular,
            mode: Mode::from_bits(0o644),
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            size: 0,
            allocated: 0,
            atime: answering.now,
            mtime: answering.now,
            ctime: answering.now,
            btime: answering.now,
            data_version: DataVersion(0),
            no_xattrs: true,
        };
        let op = Op::Create { parent, name, node, mode, ino: Some(ino) };
        Some(Foretold { caller: Caller::default(), op, reply: OpReply::Attr(attr) })
    })
}

#[tokio::test]
async fn what_is_answered_here_is_sent_with_its_time_and_compared() {
    let fake = Fake::start().await;
    let (session, told) = open_with(&fake, SessionOptions::default()).await;
    assert_eq!((answer_create(&session, "a"), answer_create(&session, "b")), (Some(Seq(1)), Some(Seq(2))));
    session.sync().await.unwrap();
    let sent = fake.with(|world| {
        let batches =
            world.heard.iter().filter_map(|said| if let Said::Ops(batch) = said { Some(batch) } else { None });
        let ops: Vec<_> = batches.flat_map(|batch| batch.ops.clone()).collect();
        ops
    });
    let inodes: Vec<u64> = sent
        .iter()
        .map(|op| match &op.op {
            Some(v1::op::Op::Create(create)) => create.ino,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(inodes, [1 << 56, (1 << 56) + 1]);
    assert!(sent.iter().all(|op| op.time.is_some_and(|time| time.secs >= 1_800_000_000)));
    assert_eq!(*told.leases.lock(), ["misread", "misread"]);
    assert!(!session.take_loss(InodeId(1 << 56)), "it was made, if otherwise");
}

#[tokio::test]
async fn nothing_is_answered_here_while_a_move_is_under_way_or_there_is_no_server() {
    let fake = Fake::start().await;
    fake.cheer(|mood| mood.deaf = true);
    let session = open(&fake).await;
    assert!(answer_create(&session, "a").is_some());
    let unlink = Op::Unlink { parent: InodeId::ROOT, name: FileName::new("x").unwrap() };
    let moving = tokio::spawn(submit(&session, unlink));
    fake.until(|world| (order(world).len() == 2).then_some(())).await;
    assert!(answer_create(&session, "b").is_none());
    fake.cheer(|mood| mood.deaf = false);
    fake.cut();
    moving.await.unwrap().unwrap();
    while !session.stats().connected {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(answer_create(&session, "c").is_some());
}
