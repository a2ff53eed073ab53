//! What checks need, and users do not.

/// How the harness names the test `$name` of this module, which another process is to run.
#[cfg(test)]
macro_rules! test_name {
    ($name:ident) => {{
        // It is there.
        let _: fn() = $name;
        let path = concat!(module_path!(), "::", stringify!($name));
        path.split_once("::").map_or(path, |(_krate, path)| path)
    }};
}
#[cfg(test)]
pub(crate) use test_name;

#[cfg(feature = "verify")]
pub mod verify;
