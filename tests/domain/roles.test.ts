import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { covers, PERMISSIONS, permissionsOf, ROLES, type Role } from '#domain/roles.ts';

const roles = fc.array(fc.constantFrom(...(Object.keys(ROLES) as Role[])));

describe('roles', () => {
  it.each<[Role[], string]>([
    [[], ''],
    [['user'], ''],
    [['moderator'], 'users:read users:lock'],
    [['staff'], 'users:read users:write users:lock sessions:revoke audit:read'],
    [['admin'], 'users:read users:write users:lock roles:write sessions:revoke audit:read ip-blocks:write'],
  ])('%j permit: %s', (held, scope) => {
    expect(permissionsOf(held).join(' ')).toBe(scope);
  });

  it('permit together what each permits alone, each once, in whatever order they are held', () => {
    fc.assert(
      fc.property(roles, (held) => {
        const permissions = permissionsOf(held);
        expect(permissions).toEqual(permissionsOf([...held].reverse()));
        expect(new Set(permissions).size).toBe(permissions.length);
        for (const permission of PERMISSIONS) {
          expect(permissions.includes(permission)).toBe(held.some((role) => permissionsOf([role]).includes(permission)));
        }
      }),
    );
  });

  it('cover others when they permit all that those do: nobody gives more than they hold', () => {
    fc.assert(
      fc.property(roles, roles, (mine, theirs) => {
        const isCovered = permissionsOf(theirs).every((permission) => permissionsOf(mine).includes(permission));
        expect(covers(mine, theirs)).toBe(isCovered);
      }),
    );
    expect(covers(['staff'], ['moderator', 'user'])).toBe(true);
    expect(covers(['staff'], ['admin'])).toBe(false);
    expect(covers([], ['moderator'])).toBe(false);
  });

  it('other than admin never permit to give roles or to block addresses', () => {
    expect(permissionsOf(['user', 'moderator', 'staff'])).not.toContain('roles:write');
    expect(permissionsOf(['user', 'moderator', 'staff'])).not.toContain('ip-blocks:write');
  });
});
