//! A shop of three services.
