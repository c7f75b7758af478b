#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::*;

#[test]
fn any_range_is_read_either_way() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let content: Vec<u8> = (0..50_001_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    std::fs::write(&path, &content).unwrap();
    let past = Direct::open(&path).unwrap();
    let through = Direct { file: File::open(&path).unwrap(), direct: false, buffer: Vec::new() };
    for mut file in [past, through] {
        for (position, len) in [(0, 1), (0, 50_001), (4095, 2), (4096, 4096), (50_000, 1), (49_000, 4000), (60_000, 5)]
        {
            let from = index(position).min(content.len());
            let to = index(position + len).min(content.len());
            assert_eq!(file.read(&path, position, len).unwrap(), &content[from..to], "{len} bytes at {position}");
        }
    }
}
