#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::*;

#[test]
fn subdirectories_are_plain_names() {
    for good in ["a", "a/b", "a b/c:d", "...", "é"] {
        assert_eq!(good.parse::<Subdir>().unwrap().as_str(), good);
    }
    let long_path = "a/".repeat(3000) + "a";
    let long_name = "a".repeat(256);
    for bad in ["", "/", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "a/./b", "a\0b", &long_path, &long_name] {
        assert!(bad.parse::<Subdir>().is_err(), "{bad:?}");
    }
}

#[test]
fn volume_paths() {
    let parse = |text: &str| {
        let path: VolumePath = text.parse()?;
        let server = path.server.map_or(String::new(), |server| server.to_string());
        let subdir = path.subdir.map_or(String::new(), |subdir| subdir.as_str().to_owned());
        Ok::<_, VolumePathError>((server, path.volume.to_string(), subdir))
    };
    for (text, server, volume, subdir) in [
        ("v", "", "v", ""),
        ("v/a/b", "", "v", "a/b"),
        ("h:1/v", "h:1", "v", ""),
        ("[::1]:7440/v/a", "[::1]:7440", "v", "a"),
        ("h:1:/v/a", "h:1", "v", "a"),
        ("h:/v", "h:7440", "v", ""),
    ] {
        assert_eq!(parse(text).unwrap(), (server.to_owned(), volume.to_owned(), subdir.to_owned()), "{text:?}");
    }
    assert!(matches!(parse("h:1"), Err(VolumePathError::VolumeMissing)));
    assert!(matches!(parse("h:0/v"), Err(VolumePathError::Server(_))));
    let long = format!("{}:1/v", "h".repeat(10 << 20));
    assert!(matches!(parse(&long), Err(VolumePathError::ServerTooLong)));
    let huge = "v".repeat(10 << 20);
    for bad in ["", "/", "/v", "h:1/", "v/", "v//a", "v/../w", "../v", "..", "h:1/../v", "v w", "v\n", &huge] {
        assert!(parse(bad).is_err(), "{:?}", &bad[..bad.len().min(20)]);
    }
}

#[test]
fn references() {
    assert_eq!("oci:/run/runc:c1".parse::<RefId>().unwrap().as_str(), "oci:/run/runc:c1");
    for bad in ["", "a\nb", "a\0", &"x".repeat(REF_BYTES_MAX + 1)] {
        assert_eq!(bad.parse::<RefId>(), Err(RefIdError));
    }
}
