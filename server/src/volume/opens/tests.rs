use super::*;

const A: SessionId = SessionId([1; 16]);
const B: SessionId = SessionId([2; 16]);

#[test]
fn an_inode_is_open_until_the_last_session_closes_it() {
    let mut opens = Opens::default();
    assert!(opens.open(A, InodeId(5)));
    assert!(!opens.open(A, InodeId(5)), "twice is once");
    assert!(opens.open(B, InodeId(5)));
    assert_eq!(opens.others(InodeId(5), A), [B]);
    assert!(opens.close(A, InodeId(5)));
    assert!(!opens.close(A, InodeId(5)));
    assert!(opens.is_open(InodeId(5)));
    assert_eq!(opens.close_all(B), [InodeId(5)]);
    assert!(opens.by_inode.is_empty() && opens.by_session.is_empty());
}

#[test]
fn what_others_have_open_stays_when_a_session_goes() {
    let mut opens = Opens::default();
    for ino in [3, 4] {
        opens.open(A, InodeId(ino));
    }
    opens.open(B, InodeId(4));
    assert_eq!(opens.close_all(A), [InodeId(3)]);
    assert_eq!(opens.close_all(A), []);
    assert!(opens.is_open(InodeId(4)));
}
