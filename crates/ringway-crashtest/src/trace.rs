//! Processes under ptrace.
