//! The error of a failed start.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::faults::InvalidFaults;

/// The reason why [`LocalAws`](crate::LocalAws) or one of its functions could not start.
#[non_exhaustive]
pub enum StartError {
    /// The service cannot listen on a port.
    Port {
        /// The service that needs the port.
        service: &'static str,
        /// The port; 0 lets the operating system choose one.
        port: u16,
        /// The error of the operating system.
        cause: io::Error,
    },
    /// The folder could not be created or locked.
    Folder {
        /// The folder.
        path: PathBuf,
        /// The error of the operating system.
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
    /// AWS would reject the function or its trigger.
    Function {
        /// The name of the function.
        function: String,
        /// The reason.
        cause: String,
    },
    /// A fault's rate is invalid.
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
                write!(
                    f,
                    "cannot use the folder {}: {cause}; choose a folder that this user can write to",
                    path.display()
                )
            }
            Self::FolderInUse { path } => write!(
                f,
                "the folder {} is in use by another process or by another LocalAws in this process; \
                 stop it first, or choose another folder",
                path.display()
            ),
            // If only this file is moved away, the other files still refer to messages, payloads
            // and states that are missing. Then messages look processed although they are not.
            Self::File { path, cause } => write!(
                f,
                "cannot read {}: {cause}; to start empty, move the whole folder away, not this file alone",
                path.display()
            ),
            Self::Function { function, cause } => {
                write!(f, "a queue cannot trigger the function {function}: {cause}")
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
            // The text of this error already contains the text of its cause.
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
