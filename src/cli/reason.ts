const LONGEST = 300;

/** What went wrong, in a line for people: what a library hides in a cause, a list of attempts or a code is taken out of there. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error instanceof AggregateError && error.errors.length > 0) return reasonOf(error.errors[0]);
  const isWrapper = error.message === 'fetch failed' || error.message === '';
  if (isWrapper && error.cause !== undefined) return reasonOf(error.cause);
  const said = error.message || ('code' in error ? String(error.code) : error.name);
  return said.replaceAll(/\s+/g, ' ').slice(0, LONGEST);
}

/** PostgreSQL's words for a table or a column that is not there. */
const NO_SCHEMA = new Set(['42P01', '42703']);
const NOT_ALLOWED = '42501';
/** Where it says so because one of our functions did: those refuse the owner too. */
const OUR_OWN = 'exec_stmt_raise';

/** A failure of a command, in a line that says what to do where that is known. */
export function complaintOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (NO_SCHEMA.has(code)) return `The schema of this database is not up to date (${reasonOf(error)}): run "latchkey migrate" first.`;
  if (code === NOT_ALLOWED && error instanceof Error && 'routine' in error && error.routine !== OUR_OWN)
    return `The role of DATABASE_URL may not do this (${reasonOf(error)}): give the URL of the one that owns the tables.`;
  return error instanceof Error && error.message !== '' ? error.message : reasonOf(error);
}
