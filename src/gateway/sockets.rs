//! [`Sockets`]: what is listened on.

use std::net::{SocketAddr, TcpListener};

use super::StartError;
use crate::config::acme::http_addresses;
use crate::config::spec::{ListenerSpec, Spec};
use crate::identity::name::Name;

/// The sockets, opened before anything runs, so that a port in use is an error and no panic.
pub(super) struct Sockets {
    pub(super) admin: TcpListener,
    pub(super) edges: Vec<(Name, SocketAddr, TcpListener)>,
    /// For HTTP-01 challenges.
    pub(super) challenges: Vec<TcpListener>,
}

impl Sockets {
    pub(super) fn bind(spec: &Spec) -> Result<Self, StartError> {
        let open = |place: String, address: SocketAddr| {
            let bound = TcpListener::bind(address).and_then(|socket| {
                socket.set_nonblocking(true)?;
                Ok(socket)
            });
            bound.map_err(|source| StartError::Bind {
                place,
                address,
                source,
            })
        };
        let admin = open("admin.address".to_owned(), spec.admin.address)?;
        let edge = |(name, listener): (&Name, &ListenerSpec)| {
            let socket = open(format!("listeners.{name}.address"), listener.address)?;
            Ok((name.clone(), listener.address, socket))
        };
        let edges = spec
            .listeners
            .iter()
            .map(edge)
            .collect::<Result<_, StartError>>()?;
        let challenges = http_addresses(&spec.acme)
            .into_iter()
            .map(|(address, name)| open(format!("acme.{name}.http"), address))
            .collect::<Result<_, StartError>>()?;
        Ok(Self {
            admin,
            edges,
            challenges,
        })
    }
}
