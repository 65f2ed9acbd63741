/** Limit for the stored records of one page of a listing. A page may exceed it by one record or one read. */
export const PAGE_BYTES = 2_097_152;
