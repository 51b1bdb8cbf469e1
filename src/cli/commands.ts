import type { Commands } from './command.ts';

/** Every command there is, in the order of a life. */
export const COMMANDS: Commands = {
  setup: async () => (await import('./setup.ts')).setup,
  migrate: async () => (await import('./migrate.ts')).migrateCommand,
  keys: async () => (await import('./keys.ts')).keys,
  secrets: async () => (await import('./secrets.ts')).secretsCommand,
  users: async () => (await import('./users.ts')).users,
  clients: async () => (await import('./clients.ts')).clients,
  outbox: async () => (await import('./outbox.ts')).outbox,
  audit: async () => (await import('./audit.ts')).audit,
  doctor: async () => (await import('./doctor.ts')).doctor,
  docs: async () => (await import('./docs.ts')).docsOf(COMMANDS),
};
