//! Owns the ceremony that the configuration pins: the first change of an institution, from which whatever rules it is
//! verified. The record cannot replace it.

use semops_objects::{
    change::{
        Approval, AttachmentKind, ChangeFile, ChangeId, ChangeRefusal, DocumentKind, Standing,
    },
    institution::InstitutionId,
};

/// A ceremony, approved by everybody in its own register of custodians.
#[derive(Clone, Debug)]
pub struct Ceremony(ChangeFile);

impl Ceremony {
    /// Reads the change file with the ceremony of `institution`.
    ///
    /// # Errors
    /// It is none, of another scheme or institution, not approved by everybody, or without what it names.
    pub fn parse(
        bytes: &[u8],
        scheme: &str,
        institution: &InstitutionId,
    ) -> Result<Self, ChangeRefusal> {
        let file = ChangeFile::parse(bytes)?;
        if file.proposal.institution() != institution {
            let other = file.proposal.institution().clone();
            return Err(ChangeRefusal::OtherInstitution(other));
        }
        file.proposal.check_attachments(&file.attachments)?;
        // Everybody had approved it when the last did.
        let at = file.approvals.iter().map(Approval::iat).max();
        let at = at.unwrap_or_else(|| file.proposal.iat());
        let ceremony = Self(file);
        let custodians = ceremony.custodians()?;
        let file = &ceremony.0;
        Standing::begin(scheme, &file.proposal, &file.approvals, custodians, at)?;
        Ok(ceremony)
    }

    /// Its name.
    pub fn id(&self) -> ChangeId {
        self.0.proposal.id()
    }

    /// The bytes of its register of custodians.
    ///
    /// # Errors
    /// There is none in it.
    pub fn custodians(&self) -> Result<&[u8], ChangeRefusal> {
        let kind = DocumentKind::Custodians;
        let missing = ChangeRefusal::AttachmentMissing(AttachmentKind::Document(kind));
        self.0.document(kind).ok_or(missing)
    }
}
