import { route } from '../route.ts';
import { User, userView } from '../views.ts';

export function meRoute() {
  return route({
    method: 'GET',
    path: '/api/auth/me',
    tag: 'The account',
    summary: 'The signed-in user',
    access: { aal: 'aal1', beforeSecondFactor: true, takesLegacyTokens: true },
    problems: [],
    responses: { 200: { description: 'The user', schema: User } },
    async handler({ principal }) {
      return { status: 200, body: userView(principal.account) };
    },
  });
}
