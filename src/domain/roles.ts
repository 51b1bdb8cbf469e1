export const PERMISSIONS = [
  'users:read',
  'users:write',
  'users:lock',
  'roles:write',
  'sessions:revoke',
  'audit:read',
  'ip-blocks:write',
] as const;
export type Permission = (typeof PERMISSIONS)[number];

export const ROLES = {
  user: [],
  moderator: ['users:read', 'users:lock'],
  staff: ['users:read', 'users:write', 'users:lock', 'sessions:revoke', 'audit:read'],
  admin: PERMISSIONS,
} as const satisfies Record<string, readonly Permission[]>;
export type Role = keyof typeof ROLES;

/** Whether `mine` permit everything that `theirs` do: what their holder may give, take away and act upon. */
export function covers(mine: readonly Role[], theirs: readonly Role[]): boolean {
  const held = permissionsOf(mine);
  return permissionsOf(theirs).every((permission) => held.includes(permission));
}

/** The permissions of all the roles together, each once, in the catalogue's order: the `scope` of an access token. */
export function permissionsOf(roles: readonly Role[]): Permission[] {
  const held = new Set<Permission>(roles.flatMap((role) => [...ROLES[role]]));
  return PERMISSIONS.filter((permission) => held.has(permission));
}
