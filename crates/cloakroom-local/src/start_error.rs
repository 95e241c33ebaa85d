//! Why the services could not start.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::faults::InvalidFaults;

/// Why [`LocalAws`](crate::LocalAws), or a function in it, could not start.
#[non_exhaustive]
pub enum StartError {
    /// A port could not be had.
    Port {
        /// The service it was for.
        service: &'static str,
        /// The port; 0 lets the operating system choose one.
        port: u16,
        /// What the operating system said.
        cause: io::Error,
    },
    /// The folder could not be created or locked.
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// Another process serves from this folder.
    FolderInUse {
        /// The folder.
        path: PathBuf,
    },
    /// A file in the folder could not be read.
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// AWS would refuse the function or its trigger.
    Function {
        /// Its name.
        function: String,
        /// Why.
        cause: String,
    },
    /// The faults asked for make no sense.
    Faults(InvalidFaults),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port { service, port, cause } => write!(
                f,
                "cannot listen on 127.0.0.1:{port} for {service}: {cause}; choose another port, \
                 or 0 to let the system choose"
            ),
            Self::Folder { path, cause } => {
                write!(f, "cannot use the folder {}: {cause}; give one that this user may write to", path.display())
            }
            Self::FolderInUse { path } => write!(
                f,
                "the folder {} is served by another process or another LocalAws of this one; \
                 stop that first, or give another folder",
                path.display()
            ),
            // Without this file the others would tell of messages, payloads and states that are gone,
            // which looks as if messages had been processed.
            Self::File { path, cause } => write!(
                f,
                "cannot read {}: {cause}; to start empty, move the whole folder away, not this file alone",
                path.display()
            ),
            Self::Function { function, cause } => {
                write!(f, "cannot have a queue trigger the function {function}: {cause}")
            }
            Self::Faults(invalid) => invalid.fmt(f),
        }
    }
}

impl fmt::Debug for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            // The texts of the causes are part of this text already.
            Self::Port { cause, .. } | Self::Folder { cause, .. } => cause.source(),
            Self::File { cause, .. } => cause.source(),
            Self::Faults(invalid) => invalid.source(),
            Self::FolderInUse { .. } | Self::Function { .. } => None,
        }
    }
}

impl From<InvalidFaults> for StartError {
    fn from(invalid: InvalidFaults) -> Self {
        Self::Faults(invalid)
    }
}
