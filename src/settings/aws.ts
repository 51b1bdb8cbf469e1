import { flag, text, url } from './schemas.ts';
import type { Setting } from './setting.ts';

export const AWS_SETTINGS = {
  AWS_REGION: { describe: 'the region of what is used of AWS: S3, SNS, SSM', schema: text.max(60), default: 'us-east-1' },
  AWS_ENDPOINT_URL: { describe: 'another address for all of it, for services that speak as AWS does', schema: url('http:', 'https:') },
  AWS_SSM_ENABLED: {
    describe:
      'true: JWT_PRIVATE_KEY, JWT_PUBLIC_KEY and FERNET_KEY are read at start from /auth-service/jwt/private-key, …/jwt/public-key and …/encryption/fernet-key; what is set here wins',
    schema: flag,
    default: 'false',
  },
} as const satisfies Record<string, Setting>;
