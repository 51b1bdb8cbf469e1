import { z } from 'zod';
import type { administerUsers, UserInDetail } from '#application/administer-users.ts';
import type { Account } from '#application/ports/accounts.ts';
import { isRefusal } from '#domain/problems.ts';
import { searchPrefix } from '#domain/search-prefix.ts';
import { parseUsername } from '#domain/username.ts';
import { pageOf, readCursor } from '../cursor.ts';
import { accountStatus, administeredStatus, displayName, idInPath, oneLine, pageFields, role, username } from '../fields.ts';
import { type Route, route } from '../route.ts';
import { Method, User, userView } from '../views.ts';

export const AdministeredUser = User.extend({ status: accountStatus }).meta({ id: 'AdministeredUser' });
const UserDetail = AdministeredUser.extend({
  methods: z.array(Method).describe('what stands beside the password'),
  live_sessions: z.int().describe('at most 100 are counted'),
}).meta({ id: 'UserDetail' });
const Users = z.object({ users: z.array(AdministeredUser), next_cursor: z.string().nullable() }).meta({ id: 'Users' });

export function administeredUserView(account: Account): z.input<typeof AdministeredUser> {
  return { ...userView(account), status: account.status };
}

function detailView({ account, methods, liveSessions }: UserInDetail): z.input<typeof UserDetail> {
  return { ...administeredUserView(account), methods, live_sessions: liveSessions };
}

export const userParams = z.strictObject({ id: idInPath });

export function administerUsersRoutes(use: ReturnType<typeof administerUsers>): Route[] {
  const common = { path: '/api/admin/users/{id}', tag: 'Administration', params: userParams } as const;
  return [
    route({
      method: 'GET',
      path: '/api/admin/users',
      tag: common.tag,
      summary: 'Users, the newest first; with a query, by what begins with it',
      access: { aal: 'aal2', permission: 'users:read' },
      problems: [],
      query: z.strictObject({
        query: oneLine(254).optional().describe('what the e-mail address or the user name begins with'),
        role: role.optional(),
        status: accountStatus.optional(),
        ...pageFields,
      }),
      responses: { 200: { description: 'A page of users', schema: Users } },
      async handler({ query }) {
        const position = readCursor(query.cursor, z.tuple([query.query === undefined ? z.uuid() : oneLine(254)]));
        if (isRefusal(position)) return position;
        const prefix = query.query === undefined ? null : searchPrefix(query.query);
        const filter = { prefix, role: query.role ?? null, status: query.status ?? null };
        const found = await use.list(filter, position?.[0] ?? null, query.limit);
        const { items, nextCursor } = pageOf(found, query.limit, ({ position }) => [position]);
        return { status: 200, body: { users: items.map(({ account }) => administeredUserView(account)), next_cursor: nextCursor } };
      },
    }),
    route({
      ...common,
      method: 'GET',
      summary: 'One user',
      access: { aal: 'aal2', permission: 'users:read' },
      problems: ['not-found'],
      responses: { 200: { description: 'The user, with what support asks for', schema: UserDetail } },
      async handler({ params }) {
        const outcome = await use.find(params.id);
        return isRefusal(outcome) ? outcome : { status: 200, body: detailView(outcome) };
      },
    }),
    route({
      ...common,
      method: 'PATCH',
      summary: 'Suspend or restore a user, or change the profile',
      description:
        'A suspension ends every session at once. The profile needs the permission users:write as well. An account that its owner deleted stays so: 409.',
      access: { aal: 'aal2', permission: 'users:lock', stepUp: true },
      problems: ['not-found', 'forbidden', 'conflict', 'username-taken'],
      body: z
        .strictObject({ status: administeredStatus, display_name: displayName.nullable(), username: username.nullable() })
        .partial()
        .refine((body) => Object.keys(body).length > 0, 'Say what to change.'),
      responses: { 200: { description: 'The user as it is now', schema: AdministeredUser } },
      async handler({ params, body, principal, client }) {
        const changes = {
          ...(body.status === undefined ? {} : { status: body.status }),
          ...(body.display_name === undefined ? {} : { displayName: body.display_name }),
          ...(body.username === undefined ? {} : { username: body.username === null ? null : (parseUsername(body.username) ?? null) }),
        };
        const outcome = await use.change(principal, params.id, changes, client);
        return isRefusal(outcome) ? outcome : { status: 200, body: administeredUserView(outcome) };
      },
    }),
    route({
      ...common,
      method: 'DELETE',
      summary: 'Delete a user for good',
      access: { aal: 'aal2', permission: 'users:write', stepUp: true },
      problems: ['not-found', 'forbidden', 'conflict'],
      responses: { 204: { description: 'The account is gone, with all that was its; audit events stay' } },
      async handler({ params, principal, client }) {
        return (await use.delete(principal, params.id, client)) ?? { status: 204 };
      },
    }),
    route({
      ...common,
      method: 'POST',
      path: '/api/admin/users/{id}/unlock',
      summary: 'Forget the failures counted against a user',
      access: { aal: 'aal2', permission: 'users:lock', stepUp: true },
      problems: ['not-found', 'forbidden'],
      body: z.strictObject({}).optional(),
      responses: { 204: { description: 'Passwords and second factors can be tried again' } },
      async handler({ params, principal, client }) {
        return (await use.unlock(principal, params.id, client)) ?? { status: 204 };
      },
    }),
    route({
      ...common,
      method: 'DELETE',
      path: '/api/admin/users/{id}/sessions',
      summary: 'End every session of a user',
      access: { aal: 'aal2', permission: 'sessions:revoke', stepUp: true },
      problems: ['not-found', 'forbidden'],
      responses: { 204: { description: 'They are gone' } },
      async handler({ params, principal, client }) {
        return (await use.endSessions(principal, params.id, client)) ?? { status: 204 };
      },
    }),
  ];
}
