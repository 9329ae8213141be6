// @ts-check
const PICTURES = 'jpg jpeg jpe jfif png webp tif tiff bmp gif avif jp2 heic heif mpo';
const VIDEOS = 'mp4 m4v mov mkv webm avi mpg mpeg ts mts m2ts 3gp wmv flv ogv';

/** @param {string} name */
const ending = (name) => (name.includes('.') ? name.slice(name.lastIndexOf('.') + 1).toLowerCase() : '');

/** @param {string} name */
export const isVideo = (name) => VIDEOS.split(' ').includes(ending(name));

/** @param {string} name whether it is a picture or a video, as far as its name says */
export const isMedia = (name) => isVideo(name) || PICTURES.split(' ').includes(ending(name));

export const ACCEPT = [...PICTURES.split(' '), ...VIDEOS.split(' ')].map((one) => `.${one}`).join(',');
