/** SimpleWebAuthn, loaded at first use: 26 MB that a service without passkeys never needs. */
export const library = once(() => import('@simplewebauthn/server'));
export const helpers = once(() => import('@simplewebauthn/server/helpers'));

function once<T>(load: () => Promise<T>): () => Promise<T> {
  let loaded: Promise<T> | undefined;
  return () => {
    loaded ??= load();
    return loaded;
  };
}
