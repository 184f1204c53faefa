//! How an authorization service is asked, and what is made of its answers.
