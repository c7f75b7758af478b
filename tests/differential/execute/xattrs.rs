//! Extended attributes and access control lists.

use std::ffi::CString;
use std::os::fd::AsFd as _;

use nix::errno::Errno;

use super::data::fill;
use super::{Facts, Process, Stop, nothing};
use crate::call::Call;
use crate::outcome::Value;
use crate::sys::{Of, get_xattr, list_xattr, remove_xattr, set_xattr};
use crate::word::{AclKind, Follow, Text, XattrMode, XattrValue};

fn text(text: &Text) -> Result<CString, Stop> {
    CString::new(text.bytes()).map_err(|_| Stop::Failed(Errno::EINVAL))
}

fn of(path: &CString, follow: Follow) -> Of<'_> {
    match follow {
        Follow::Yes => Of::Path(path),
        Follow::No => Of::Link(path),
    }
}

fn value(value: XattrValue) -> Vec<u8> {
    match value {
        XattrValue::Filled(len, seed) => fill(seed, len),
        // linux/capability.h: VFS_CAP_REVISION_2 with the effective bit; CAP_NET_BIND_SERVICE.
        XattrValue::Capability => {
            [0x0200_0001_u32, 1 << 10, 0, 0, 0].iter().flat_map(|word| word.to_le_bytes()).collect()
        }
    }
}

fn flags(mode: XattrMode) -> i32 {
    match mode {
        XattrMode::Either => 0,
        XattrMode::Create => libc::XATTR_CREATE,
        XattrMode::Replace => libc::XATTR_REPLACE,
        XattrMode::Both => libc::XATTR_CREATE | libc::XATTR_REPLACE,
    }
}

fn acl_name(kind: AclKind) -> &'static std::ffi::CStr {
    match kind {
        AclKind::Access => c"system.posix_acl_access",
        AclKind::Default => c"system.posix_acl_default",
    }
}

/// The names in order; with a buffer of 0 only how long they are.
fn names(bytes: &[u8]) -> Value {
    if bytes.iter().all(|byte| *byte == 0) {
        return Value::number(bytes.len());
    }
    let parts = bytes.split(|byte| *byte == 0).filter(|part| !part.is_empty());
    let mut names: Vec<String> = parts.map(|part| String::from_utf8_lossy(part).into_owned()).collect();
    names.sort();
    Value::text(names.join(" "))
}

fn found(value: Vec<u8>) -> Facts {
    Ok(vec![("value", Value::bytes(value))])
}

impl Process {
    pub(super) fn xattrs(&self, call: &Call) -> Facts {
        match call {
            Call::SetXattr { path, name, value: given, mode, follow } => {
                nothing(set_xattr(of(&text(path)?, *follow), &text(name)?, &value(*given), flags(*mode)))
            }
            Call::FsetXattr { slot, name, value: given, mode } => {
                let handle = self.handle(*slot)?;
                nothing(set_xattr(Of::Handle(handle.fd.as_fd()), &text(name)?, &value(*given), flags(*mode)))
            }
            Call::GetXattr { path, name, buffer, follow } => {
                found(get_xattr(of(&text(path)?, *follow), &text(name)?, *buffer)?)
            }
            Call::FgetXattr { slot, name, buffer } => {
                found(get_xattr(Of::Handle(self.handle(*slot)?.fd.as_fd()), &text(name)?, *buffer)?)
            }
            Call::ListXattr { path, buffer, follow } => {
                Ok(vec![("names", names(&list_xattr(of(&text(path)?, *follow), *buffer)?))])
            }
            Call::FlistXattr { slot } => {
                Ok(vec![("names", names(&list_xattr(Of::Handle(self.handle(*slot)?.fd.as_fd()), 65_536)?))])
            }
            Call::RemoveXattr { path, name, follow } => nothing(remove_xattr(of(&text(path)?, *follow), &text(name)?)),
            Call::FremoveXattr { slot, name } => {
                nothing(remove_xattr(Of::Handle(self.handle(*slot)?.fd.as_fd()), &text(name)?))
            }
            Call::SetAcl { path, kind, acl } => {
                nothing(set_xattr(Of::Path(&text(path)?), acl_name(*kind), &acl.bytes(), 0))
            }
            Call::GetAcl { path, kind } => found(get_xattr(Of::Path(&text(path)?), acl_name(*kind), 65_536)?),
            Call::RemoveAcl { path, kind } => nothing(remove_xattr(Of::Path(&text(path)?), acl_name(*kind))),
            _ => Err(Stop::Skipped("not about xattrs")),
        }
    }
}
