//! Addresses, which are all that other processes need.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use pyo3::prelude::*;

use crate::errors;

/// Where a ring or a message queue is: `shm:orders`, `file:/var/lib/orders.ring`, `memfd:`, `mq:/orders` and so on.
///
/// An address can be sent to other processes and pickled, and opened there. Wherever one is asked for, a string does as well.
///
/// >>> import pickle, ringway
/// >>> address = ringway.Address("shm:my orders")
/// >>> str(address), address.scheme
/// ('shm:my%20orders', 'shm')
/// >>> pickle.loads(pickle.dumps(address)) == address
/// True
#[pyclass(frozen, module = "ringway")]
#[derive(Clone)]
pub(crate) struct Address(pub(crate) ringway::Address);

impl Address {
    /// Of an `Address` or a string.
    pub(crate) fn of(object: &Bound<'_, PyAny>) -> PyResult<ringway::Address> {
        if let Ok(address) = object.cast_exact::<Self>() {
            return Ok(address.get().0.clone());
        }
        let text: std::borrow::Cow<'_, str> = object.extract()?;
        text.parse()
            .map_err(|error| errors::of_setup(object.py(), &error))
    }
}

#[pymethods]
impl Address {
    #[new]
    fn new(address: &Bound<'_, PyAny>) -> PyResult<Self> {
        Self::of(address).map(Self)
    }

    /// What stands before the colon: shm, file, sysv, memfd, mq, sysvmq or auto.
    #[getter]
    fn scheme(&self) -> &'static str {
        self.0.scheme()
    }

    fn __str__(&self) -> String {
        self.0.to_string()
    }

    fn __repr__(&self) -> String {
        format!("ringway.Address('{}')", self.0)
    }

    fn __eq__(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.0.hash(&mut hasher);
        hasher.finish()
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> (Bound<'py, PyAny>, (String,)) {
        (slf.get_type().into_any(), (slf.get().0.to_string(),))
    }
}
