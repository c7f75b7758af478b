//! Connections: how they are configured.
