//! What the tests of ringway share: the table of all rings there are, places that clean up after
//! themselves, messages that know their number, sandboxes, namespaces for tests that need fixed names, programs of other
//! packages, and what the kernel says of processes. Being tests', all of it panics where something is wrong.

pub mod apart;
pub mod messages;
pub mod place;
pub mod procfs;
pub mod programs;
pub mod sandbox;
pub mod table;
pub mod tasks;
