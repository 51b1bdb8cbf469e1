import { GetParametersCommand, SSMClient } from '@aws-sdk/client-ssm';

/** A start waits this long for SSM and no longer: ten tries in all would be half a minute of a pod that says nothing. */
const TRIES = 5;
const ALL_TRIES_MS = 20_000;
const CONNECT_MS = 2000;
const ANSWER_MS = 3000;

const NO_CREDENTIALS = 'CredentialsProviderError';
/** What AWS says to who may not, or shows credentials that are none; trying again changes nothing. */
const REFUSALS = [
  'AccessDeniedException',
  'ExpiredTokenException',
  'IncompleteSignature',
  'InvalidClientTokenId',
  'InvalidKeyId',
  'InvalidSignatureException',
  'MissingAuthenticationTokenException',
  'NotAuthorized',
  'OptInRequired',
  'UnrecognizedClientException',
];

/** SSM did not give what was asked for. The message is for the operator; it holds no value. */
export class SsmMistake extends Error {
  readonly isForPeople = true;
}

/**
 * Parameters of AWS Systems Manager, decrypted, in one request of at most ten. What passes by itself (no answer, throttling, an error of
 * theirs) is tried again, each time after longer. Credentials come as AWS gives them: variables, profile, or the role of the machine.
 * @throws SsmMistake that names every parameter that is not there, or says that access was refused, or that nobody answers
 */
export async function readParameters(
  names: readonly string[],
  { region, endpoint }: { region: string; endpoint: string | undefined },
): Promise<Map<string, string>> {
  const client = new SSMClient({
    region,
    ...(endpoint === undefined ? {} : { endpoint }),
    maxAttempts: TRIES,
    requestHandler: { connectionTimeout: CONNECT_MS, requestTimeout: ANSWER_MS, throwOnRequestTimeout: true },
  });
  try {
    const command = new GetParametersCommand({ Names: [...names], WithDecryption: true });
    const { Parameters = [] } = await client.send(command, { abortSignal: AbortSignal.timeout(ALL_TRIES_MS) });
    const found = new Map(Parameters.map(({ Name = '', Value = '' }) => [Name, Value]));
    const missing = names.filter((name) => !found.get(name));
    if (missing.length > 0) throw new SsmMistake(`SSM has no ${missing.join(', no ')} in ${region}`);
    return found;
  } catch (error) {
    throw error instanceof SsmMistake ? error : new SsmMistake(reasonOf(error, region, endpoint), { cause: error });
  } finally {
    client.destroy();
  }
}

function reasonOf(error: unknown, region: string, endpoint: string | undefined): string {
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  if (name === NO_CREDENTIALS) return `SSM cannot be asked: there are no AWS credentials (${message})`;
  if (REFUSALS.includes(name))
    return `SSM refused access in ${region} (${name}: ${message}); it takes ssm:GetParameters, and kms:Decrypt for a key of your own`;
  return `SSM does not answer at ${endpoint ?? region} (${name}: ${message || 'no reason given'})`;
}
