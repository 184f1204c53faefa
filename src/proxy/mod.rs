//! A request's way: admit, forward, answer, account. pingora's face is thin; [`admit`] decides.

pub mod admit;
mod back_channel;
mod bounds;
mod client_cert;
pub mod connection;
mod credentials;
pub mod sweep;
mod errors;
mod external;
mod forward;
mod gateway_proxy;
mod head;
mod headers;
mod http2;
mod ids;
mod journey;
mod log;
mod page;
mod respond;
mod xfcc;

pub use gateway_proxy::GatewayProxy;
pub use head::RequestHead;
pub use journey::Story;
