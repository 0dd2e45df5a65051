//! Owns what an institution sees of its changes.

use semops_objects::change::{Attachment, Proposal};

use crate::{
    authority::{
        Authority, Context,
        change::{ChangeError, contents},
    },
    domain::change::{ChangeId, ChangeState, Enclosed, StoredChange},
    error::{Error, Reason},
    store::ChangeQuery,
};

/// The most changes in one answer.
const CHANGES: usize = 100;

/// A change with what accompanies it.
#[derive(Clone, Debug)]
pub struct ChangeShown {
    /// The change.
    pub change: StoredChange,
    /// What accompanies it, if it is pending or was executed.
    pub attachments: Vec<Attachment>,
}

/// Which changes are asked for.
#[derive(Clone, Copy, Debug)]
pub struct Listing {
    /// In which state; in any without one.
    pub state: Option<ChangeState>,
    /// Only those recorded before this one.
    pub before: Option<ChangeId>,
}

impl Authority {
    /// Shows a change of the caller's institution. The documents of one that was executed are the institution's versions.
    pub async fn change(&self, ctx: &Context, id: ChangeId) -> Result<ChangeShown, Error> {
        let view = self.store.change(&ctx.institution, id).await?;
        ctx.still(view.generation)?;
        let change = view.change.ok_or(Error::NotFound(Reason::ChangeNotFound))?;
        let mut enclosed = view.enclosed;
        if change.state == ChangeState::Executed {
            let proposal = Proposal::parse(&change.bytes).map_err(Error::internal)?;
            for name in contents::named(proposal.operation()) {
                let (kind, version) = (name.kind, Some(name.version));
                let view = self.store.document(&ctx.institution, kind, version).await?;
                let document = view.document.map(|stored| stored.document.bytes);
                enclosed.extend(document.map(|bytes| (Enclosed::Document(kind), bytes)));
            }
        }
        let attachments = contents::attachments(enclosed).map_err(Error::internal)?;
        Ok(ChangeShown {
            change,
            attachments,
        })
    }

    /// Shows changes of the caller's institution, those recorded last first.
    pub async fn changes(&self, ctx: &Context, ask: Listing) -> Result<Vec<StoredChange>, Error> {
        let query = ChangeQuery {
            state: ask.state,
            before: ask.before,
            at_most: CHANGES,
        };
        let view = self.store.changes(&ctx.institution, query).await?;
        ctx.still(view.generation)?;
        Ok(view.changes)
    }

    /// A change as it stands now, by whatever documents.
    pub(super) async fn standing_change(
        &self,
        ctx: &Context,
        id: ChangeId,
    ) -> Result<StoredChange, Error> {
        let view = self.store.change(&ctx.institution, id).await?;
        Ok(view.change.ok_or(ChangeError::NotFound)?)
    }
}
