use super::*;

#[test]
fn file_names_follow_linux() {
    assert!(FileName::new("a").is_ok());
    assert!(FileName::new("...").is_ok());
    assert!(FileName::new(vec![0xff; 255]).is_ok());
    assert_eq!(FileName::new(""), Err(NameError::Empty));
    assert_eq!(FileName::new(vec![b'a'; 256]), Err(NameError::TooLong));
    for name in [".", "..", "a/b", "/", "a\0"] {
        assert_eq!(FileName::new(name), Err(NameError::Forbidden), "{name:?}");
    }
}

#[test]
fn volume_names_cannot_reach_out() {
    for name in ["web", "web-1.data_2", "0", &"v".repeat(128)] {
        assert!(name.parse::<VolumeName>().is_ok(), "{name:?}");
    }
    for name in ["", ".", "..", ".hidden", "-flag", "a/b", "a b", "a\n", "é", &"v".repeat(129)] {
        assert_eq!(name.parse::<VolumeName>(), Err(VolumeNameError), "{name:?}");
    }
}
