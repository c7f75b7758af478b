//! Everything that a client sees of a volume, to be compared.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use holdfast_tests::model::step::{Answer, Kind, Outcome, Path, Stat, Step, Time};

/// An inode as it is found under one name. Bytes are kept as their length and a hash.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    kind: Kind,
    mode: u32,
    nlink: u64,
    owner: (u32, u32),
    size: u64,
    content: u64,
    xattrs: BTreeMap<String, u64>,
    /// The first name of the same inode.
    first_name: String,
    /// Where the model knows it.
    mtime: Option<Time>,
}

/// A tree of names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tree(BTreeMap<String, Arc<Entry>>);

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

impl Tree {
    /// Reads what is at a path and below it.
    ///
    /// # Errors
    /// The step that was refused though the listing named what it asks for.
    pub(crate) fn read(run: &mut dyn FnMut(&Step) -> Outcome, root: &Path) -> Result<Self, String> {
        let (mut tree, mut inodes, mut todo) = (Self::default(), BTreeMap::new(), vec![root.clone()]);
        while let Some(path) = todo.pop() {
            let mut ask = |step: Step| run(&step).map_err(|error| format!("{step:?}: {error}"));
            let Answer::Stat(stat) = ask(Step::Stat { path: path.clone() })? else { return Err("no stat".into()) };
            let Answer::Words(names) = ask(Step::ListXattr { path: path.clone() })? else {
                return Err("no list".into());
            };
            let mut xattrs = BTreeMap::new();
            for name in names {
                if let Answer::Bytes(value) = ask(Step::GetXattr { path: path.clone(), name: name.clone() })? {
                    xattrs.insert(name, hash(&value));
                }
            }
            let content = match stat.kind {
                Kind::File => match ask(Step::ReadFile { path: path.clone() })? {
                    Answer::Bytes(bytes) if bytes.len() as u64 == stat.size => hash(&bytes),
                    other => return Err(format!("{path:?} has size {} and reads {other:?}", stat.size)),
                },
                Kind::Directory => {
                    if let Answer::Names(names) = ask(Step::Readdir { path: path.clone() })? {
                        todo.extend(names.into_iter().rev().map(|(name, _)| [&path[..], &[name]].concat()));
                    }
                    0
                }
                Kind::Symlink | Kind::Fifo => 0,
            };
            let name = path.join("/");
            let Stat { kind, mode, nlink, uid, gid, size, ino, mtime, .. } = stat;
            let first_name = inodes.entry(ino).or_insert_with(|| name.clone()).clone();
            let entry = Entry { kind, mode, nlink, owner: (uid, gid), size, content, xattrs, first_name, mtime };
            tree.0.insert(name, Arc::new(entry));
        }
        Ok(tree)
    }

    /// This tree with one directory of its root as it is now, and the root itself.
    pub(crate) fn with(&self, root: Self, directory: &str, below: Self) -> Self {
        let inside =
            |name: &str| name == directory || name.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'));
        let mut names = self.0.clone();
        names.retain(|name, _| !inside(name));
        names.extend(below.0);
        names.extend(root.0);
        Self(names)
    }

    /// How many names there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Where a real tree is not this one; times count where this one knows them.
    pub(crate) fn difference(&self, real: &Self) -> Option<String> {
        let mut text = String::new();
        for name in self.0.keys().chain(real.0.keys().filter(|name| !self.0.contains_key(*name))) {
            match (self.0.get(name), real.0.get(name)) {
                (Some(wanted), Some(found)) => {
                    let known = Entry { mtime: wanted.mtime.and(found.mtime), ..Entry::clone(found) };
                    if known != **wanted {
                        let _ = writeln!(text, "  {name:?} should be {wanted:?}\n    and is {known:?}");
                    }
                }
                (Some(_), None) => text += &format!("  {name:?} is not there\n"),
                (None, _) => text += &format!("  {name:?} should not be there\n"),
            }
        }
        (!text.is_empty()).then_some(text)
    }
}
