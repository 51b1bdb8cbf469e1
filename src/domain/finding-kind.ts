/** An error does not work or is not safe; a warning will become one, or is weaker than it could be; a note is good to know. */
export type Severity = 'error' | 'warning' | 'note';

/** What all findings of one id have in common. `todo` stands unless one has something better to say. */
export type FindingKind = { severity: Severity; why: string; todo: string };
