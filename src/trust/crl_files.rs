//! The CRLs of a bundle, out of their files.

use std::path::PathBuf;
use std::sync::Arc;

use super::crl::{Around, Crl};
use super::crl_problem::CrlProblem;
use super::error::TrustError;
use super::pem;

/// Reads all files. What `refused` lets pass leaves in use what the bundle of before has of the file:
/// one that is broken takes nothing from the others.
///
/// # Errors
///
/// What `refused` does not let pass.
pub(super) fn crls(
    files: &[PathBuf],
    around: Around<'_>,
    refused: &mut dyn FnMut(TrustError) -> Result<(), TrustError>,
) -> Result<Vec<Arc<Crl>>, TrustError> {
    let mut read = Vec::new();
    for file in files {
        let numbered = pem::crls(file).map(|ders| ders.into_iter().zip(1..));
        let found = numbered.and_then(|ders| {
            ders.map(|(der, number)| Crl::read(&der, file, number, around))
                .collect::<Result<Vec<_>, _>>()
        });
        match found {
            Ok(found) => read.extend(found),
            Err(error) => {
                refused(error)?;
                let before = around.in_use.iter().filter(|crl| crl.file == *file);
                read.extend(before.filter(|crl| around.signs(crl)).map(Arc::clone));
            }
        }
    }
    for in_use in around.in_use {
        // An older one may stand beside its successor.
        let mut of_the_same = read.iter().filter(|crl| crl.is_of_the_same(in_use));
        let Some(first) = of_the_same.next() else {
            continue;
        };
        let is_older = |crl: &Arc<Crl>| in_use.is_newer_than(crl);
        if is_older(first) && of_the_same.all(is_older) {
            refused(TrustError::Crl {
                file: first.file.clone(),
                number: 1,
                problem: CrlProblem::Older {
                    issuer: first.shown.clone(),
                    this_update: first.this_update,
                    in_use: in_use.this_update,
                },
            })?;
            read.push(Arc::clone(in_use));
        }
    }
    Ok(read)
}
