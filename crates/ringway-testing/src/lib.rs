//! What the tests of ringway share: the table of all rings there are, places that clean up after
//! themselves, and messages that know their number. Being tests', all of it panics where something is wrong.

pub mod messages;
pub mod place;
pub mod table;
