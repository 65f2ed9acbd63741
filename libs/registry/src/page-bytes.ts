/** Bytes of stored records that one page of a listing is made of, give or take one record, or one read. */
export const PAGE_BYTES = 2_097_152;
