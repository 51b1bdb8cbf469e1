/** What a single-use secret is for. A ticket of one purpose is nothing to another. */
export type TicketPurpose = 'verify-email' | 'reset-password';

/** A secret shown once to whom it is for, and its SHA-256, the only form that is stored (ASVS 11.5.1, 6.5.2). */
export type TicketSecret = { token: string; hash: Buffer };
