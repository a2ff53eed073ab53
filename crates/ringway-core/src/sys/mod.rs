//! Every operating-system call that needs `unsafe`: one file per facility, named as its man page.

pub(crate) mod clock_gettime;
pub(crate) mod cpuid;
pub(crate) mod deadline;
pub(crate) mod errno;
pub(crate) mod flock;
pub mod fork;
pub(crate) mod fsopen;
pub mod ftok;
pub(crate) mod futex;
pub mod getrandom;
pub(crate) mod ioctl_iflags;
pub(crate) mod lease;
pub(crate) mod membarrier;
pub(crate) mod mmap;
pub mod mq_overview;
pub mod msgget;
pub mod owner;
pub(crate) mod pid_namespaces;
pub(crate) mod pipe;
pub(crate) mod pthread_create;
pub(crate) mod pthread_mutex;
pub mod pthread_sigmask;
pub mod rename;
pub(crate) mod robust_list;
pub(crate) mod sem_overview;
pub mod semget;
pub(crate) mod shm_overview;
pub(crate) mod shmget;
pub(crate) mod sysconf;
pub(crate) mod unix;
pub mod unwinding;

pub(crate) use clock_gettime::now_ns;
pub(crate) use sysconf::page_size;
