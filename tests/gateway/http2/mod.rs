//! HTTP/2: what a client can do for nothing, and how it ends.

mod floods;
mod requests;
mod slow;
mod transfer;
