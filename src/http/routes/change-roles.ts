import { z } from 'zod';
import type { changeRoles } from '#application/change-roles.ts';
import { isRefusal } from '#domain/problems.ts';
import { role } from '../fields.ts';
import { route } from '../route.ts';
import { AdministeredUser, administeredUserView, userParams } from './administer-users.ts';

export function changeRolesRoute(use: ReturnType<typeof changeRoles>) {
  return route({
    method: 'PUT',
    path: '/api/admin/users/{id}/roles',
    tag: 'Administration',
    summary: 'Set the roles of a user',
    description: 'A role that is taken ends the sessions of the user; one that is given holds at once.',
    access: { aal: 'aal2', permission: 'roles:write', stepUp: true },
    problems: ['not-found', 'forbidden', 'conflict'],
    params: userParams,
    body: z.strictObject({ roles: z.array(role).max(8) }),
    responses: { 200: { description: 'The user as it is now', schema: AdministeredUser } },
    async handler({ params, body, principal, client }) {
      const outcome = await use(principal, params.id, body.roles, client);
      return isRefusal(outcome) ? outcome : { status: 200, body: administeredUserView(outcome) };
    },
  });
}
